//! `audit`: lists what people did.

use clap::Args;
use clap::builder::{PossibleValuesParser, ValueParser};
use uuid::Uuid;

use super::args::{AuditFilterArgs, ConnectionArgs, PageArgs};
use super::audit_entry::{self, AuditEntry};
use super::outcome::Outcome;
use super::paging::Page;
use super::session::Access;
use super::{audit_actions, output, queries};

/// Arguments of `audit`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  outbox-relay audit --since 1d --action discard\n  outbox-relay audit --event 0190163d-8694-739b-aea5-966c26f8ad91 --json"
)]
pub struct AuditArgs {
    /// Only actions of this kind
    #[arg(long, value_name = "WORD", value_parser = action())]
    action: Option<String>,
    /// Only actions on this event; those on many events at once are left out
    #[arg(long, value_name = "EVENT_ID")]
    event: Option<Uuid>,
    #[command(flatten)]
    filter: AuditFilterArgs,
    #[command(flatten)]
    page: PageArgs,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A `value_parser` for the words of the audit table.
fn action() -> ValueParser {
    PossibleValuesParser::new(audit_actions::words()).into()
}

impl AuditArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let session = self.connection.open("audit", Access::Read).await?;
        let filter = self.filter.filter(self.action, &session).await?;
        if filter.operation_id.is_some() {
            session.require_operations()?;
        }
        let (after, size) = (self.page.after.as_ref(), self.page.size());
        let page: Page<AuditEntry> =
            queries::list_audit(&session, &filter, self.event, after, size).await?;
        if self.json {
            output::json_lines(&page.rows)?;
        } else if !page.rows.is_empty() {
            output::text(&audit_entry::table(&page.rows, "EVENT"))?;
        } else if page.next.is_none() {
            output::note("No entries match.");
        }
        page.note_more(size, "entries");
        Ok(Outcome::Ok)
    }
}

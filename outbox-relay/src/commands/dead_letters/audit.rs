//! `dead-letters audit`: lists what people did to dead letters.

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::args::DeskArgs;
use super::pages;
use crate::commands::args::{AuditFilterArgs, PageArgs};
use crate::commands::audit_entry;
use crate::commands::outcome::Outcome;
use crate::commands::output;
use crate::commands::session::Access;

/// The values of `action`.
const ACTIONS: [&str; 5] = ["edit", "note", "return", "discard", "forget"];

/// Arguments of `dead-letters audit`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  outbox-relay dead-letters audit --since 1d --actor alice\n  outbox-relay dead-letters audit --dead-letter 17 --json"
)]
pub struct AuditArgs {
    /// Only actions of this kind
    #[arg(long, value_name = "WORD", value_parser = PossibleValuesParser::new(ACTIONS))]
    action: Option<String>,
    /// Only actions on this dead letter
    #[arg(long, value_name = "ID")]
    dead_letter: Option<i64>,
    #[command(flatten)]
    filter: AuditFilterArgs,
    #[command(flatten)]
    page: PageArgs,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArgs,
}

impl AuditArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let session = self.desk.open("audit", Access::Read).await?;
        let filter = self.filter.filter(self.action, &session).await?;
        let (after, size) = (self.page.after.as_ref(), self.page.size());
        let page = pages::list_audit(&session, &filter, self.dead_letter, after, size).await?;
        if self.json {
            output::json_lines(&page.rows)?;
        } else if !page.rows.is_empty() {
            output::text(&audit_entry::table(&page.rows, "DEAD LETTER"))?;
        } else if page.next.is_none() {
            output::note("No entries match.");
        }
        page.note_more(size, "entries");
        Ok(Outcome::Ok)
    }
}

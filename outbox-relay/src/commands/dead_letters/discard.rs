//! `dead-letters discard`: settles dead letters that are not to be returned.

use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use super::args::{DeskArgs, WhichArgs};
use super::queries;
use super::selection::{NOUN, Selection};
use super::skipped::{self, SkippedLetter};
use crate::commands::args::{ActorArgs, single_line};
use crate::commands::consent::Consent;
use crate::commands::outcome::Outcome;
use crate::commands::output;
use crate::commands::session::Access;

/// The states of dead letters that can be discarded.
const STATES: &[&str] = &["open"];

/// Arguments of `dead-letters discard`.
#[derive(Debug, Args)]
#[command(
    override_usage = "outbox-relay dead-letters discard [OPTIONS] --reason <TEXT> <ID>...\n       outbox-relay dead-letters discard [OPTIONS] --reason <TEXT> [--queue <QUEUE>] [--fingerprint <CAUSE>] [...]",
    after_help = "Examples:\n  outbox-relay dead-letters discard 17 18 --reason 'test orders'\n  outbox-relay dead-letters discard --fingerprint 1c86b10cf079f317 --reason 'test orders' --expect 1200 --up-to-id 5310"
)]
pub struct DiscardArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// The reason, for the audit table
    #[arg(long, env = "OUTBOX_REASON", value_name = "TEXT", value_parser = single_line, required = true)]
    reason: String,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArgs,
}

#[derive(Serialize)]
struct DiscardReport {
    matched: usize,
    discarded: Vec<i64>,
    /// The `operation_id` of this command's rows in the audit table.
    operation_id: Uuid,
    not_discarded: Vec<SkippedLetter>,
}

impl DiscardArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let expect = self.which.expect;
        let consent = Consent { verb: "discard", noun: NOUN, expect, yes: None };
        if self.which.ids.is_empty() {
            consent.require_terminal()?;
        }
        let session = self.desk.open("discard", Access::Write).await?;
        let selection = Selection::find(&session, &self.which, STATES).await?;
        if expect.dry_run {
            selection.print_dry_run(&session, "discarded", self.json).await?;
            return Ok(Outcome::Ok);
        }
        selection.obtain(consent).await?;
        let attribution = self.actor.attribution(&session, Some(self.reason));
        let result = selection
            .change(&session, self.json, async |ids| {
                queries::discard(&session, ids, &attribution).await
            })
            .await?;
        let not_discarded = match skipped::find(&session, &selection.ids, &result, STATES).await {
            Ok(skipped) => skipped,
            Err(error) => return Err(result.into_error(error, "discarded")),
        };
        let outcome = if not_discarded.is_empty() { Outcome::Ok } else { Outcome::Problems };
        if self.json {
            output::json(&DiscardReport {
                matched: selection.ids.len(),
                discarded: result.changed.clone(),
                operation_id: attribution.operation_id,
                not_discarded,
            })?;
            return result.finish(outcome, "discarded");
        }
        let count = result.changed.len();
        let is = if count == 1 { "is" } else { "are" };
        output::text(&format!("{} {is} discarded.\n", output::counted(count, NOUN)))?;
        skipped::print(&not_discarded, "discarded");
        result.finish(outcome, "discarded")
    }
}

//! `dead-letters note`: writes down what people know about dead letters.

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

/// The states in which dead letters get a note if they are selected by a filter.
const UNSETTLED: &[&str] = &["open", "returning"];

/// The states in which dead letters get a note if their ids are given.
const ALL: &[&str] = &["open", "returning", "returned", "discarded"];

/// Arguments of `dead-letters note`.
#[derive(Debug, Args)]
#[command(
    override_usage = "outbox-relay dead-letters note [OPTIONS] <--text <TEXT>|--clear> <ID>...\n       outbox-relay dead-letters note [OPTIONS] <--text <TEXT>|--clear> [--queue <QUEUE>] [--fingerprint <CAUSE>] [...]",
    after_help = "Examples:\n  outbox-relay dead-letters note 17 --text 'the shop repairs it, ticket 4711'\n  outbox-relay dead-letters note --fingerprint 1c86b10cf079f317 --text 'fixed in release 7' --expect 1200"
)]
pub struct NoteArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// The note, in place of the one before
    #[arg(long, value_name = "TEXT", value_parser = single_line, required_unless_present = "clear")]
    text: Option<String>,
    /// Remove the note
    #[arg(long, conflicts_with = "text")]
    clear: bool,
    /// The reason, for the audit table
    #[arg(long, env = "OUTBOX_REASON", value_name = "TEXT", value_parser = single_line)]
    reason: Option<String>,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArgs,
}

#[derive(Serialize)]
struct NoteReport {
    matched: usize,
    noted: usize,
    /// The `operation_id` of this command's rows in the audit table.
    operation_id: Uuid,
    not_noted: Vec<SkippedLetter>,
}

impl NoteArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let expect = self.which.expect;
        let consent = Consent { verb: "note", noun: NOUN, expect, yes: None };
        let states = if self.which.ids.is_empty() { UNSETTLED } else { ALL };
        if self.which.ids.is_empty() {
            consent.require_terminal()?;
        }
        let session = self.desk.open("note", Access::Write).await?;
        let selection = Selection::find(&session, &self.which, states).await?;
        if expect.dry_run {
            selection.print_dry_run(&session, "noted", self.json).await?;
            return Ok(Outcome::Ok);
        }
        selection.obtain(consent).await?;
        let attribution = self.actor.attribution(&session, self.reason);
        let text = self.text.as_deref();
        let note = async |ids: &[i64]| queries::note(&session, ids, text, &attribution).await;
        let result = selection.change(&session, self.json, note).await?;
        let not_noted = match skipped::find(&session, &selection.ids, &result, ALL).await {
            Ok(skipped) => skipped,
            Err(error) => return Err(result.into_error(error, "noted")),
        };
        let outcome = if not_noted.is_empty() { Outcome::Ok } else { Outcome::Problems };
        let noted = result.changed.len();
        if self.json {
            let (matched, operation_id) = (selection.ids.len(), attribution.operation_id);
            output::json(&NoteReport { matched, noted, operation_id, not_noted })?;
            return result.finish(outcome, "noted");
        }
        let what = if self.clear { "has no note now" } else { "has the note now" };
        output::text(&match noted {
            1 => format!("1 dead letter {what}.\n"),
            _ => format!("{noted} dead letters {}.\n", what.replacen("has", "have", 1)),
        })?;
        skipped::print(&not_noted, "noted");
        result.finish(outcome, "noted")
    }
}

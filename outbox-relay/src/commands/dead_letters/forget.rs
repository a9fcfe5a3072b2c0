//! `dead-letters forget`: erases the contents of dead letters that are settled.

use std::collections::HashSet;

use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use super::args::{DeskArgs, WhichArgs};
use super::queries;
use super::selection::{NOUN, Selection};
use super::skipped::{self, SkipReason, SkippedLetter};
use crate::commands::args::{ActorArgs, single_line};
use crate::commands::consent::Consent;
use crate::commands::outcome::{Outcome, UsageError};
use crate::commands::output;
use crate::commands::session::Access;

/// The states of dead letters that can be forgotten.
const STATES: &[&str] = &["returned", "discarded"];

/// The states of dead letters that match the filter, but keep their contents.
const KEPT: &[&str] = &["open", "returning"];

/// The maximum number of these that are named.
const KEPT_LIMIT: usize = 10_000;

/// Arguments of `dead-letters forget`.
#[derive(Debug, Args)]
#[command(
    override_usage = "outbox-relay dead-letters forget [OPTIONS] --reason <TEXT> --yes <ID>...\n       outbox-relay dead-letters forget [OPTIONS] --reason <TEXT> [--message-id <ID>] [--queue <QUEUE>] [...]",
    after_help = "Examples:\n  outbox-relay dead-letters forget 17 --reason 'request 4711 of a customer' --yes\n  outbox-relay dead-letters forget --message-id 0190163d-8694-739b-aea5-966c26f8ad91 --reason 'request 4711' --expect 2"
)]
pub struct ForgetArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Erase what is named without asking
    #[arg(long, short)]
    yes: bool,
    /// The reason, for the audit table
    #[arg(long, env = "OUTBOX_REASON", value_name = "TEXT", value_parser = single_line, required = true)]
    reason: String,
    /// Erase also the reasons that people gave for other changes of it, which may name a person
    #[arg(long)]
    with_reasons: bool,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArgs,
}

#[derive(Serialize)]
struct ForgetReport {
    matched: usize,
    forgotten: Vec<i64>,
    /// Dead letters without any contents left to erase, in their rows or in the audit table.
    forgotten_before: Vec<i64>,
    /// The `operation_id` of this command's rows in the audit table.
    operation_id: Uuid,
    not_forgotten: Vec<SkippedLetter>,
}

impl ForgetArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let expect = self.which.expect;
        let consent = Consent { verb: "forget", noun: NOUN, expect, yes: Some(self.yes) };
        // Asks even if each id is given: what is erased can't be restored.
        consent.require_terminal().map_err(|UsageError(sentence)| {
            UsageError(sentence.replace("what a filter matches", "anything"))
        })?;
        let session = self.desk.open("forget", Access::Write).await?;
        let selection = Selection::find(&session, &self.which, STATES).await?;
        if expect.dry_run {
            selection.print_dry_run(&session, "forgotten", self.json).await?;
            return Ok(Outcome::Ok);
        }
        consent.obtain(selection.ids.len()).await?;
        let attribution = self.actor.attribution(&session, Some(self.reason));
        let result = selection
            .change(&session, self.json, async |ids| {
                queries::forget(&session, ids, self.with_reasons, &attribution).await
            })
            .await?;
        let found = async {
            let mut skipped = skipped::find(&session, &selection.ids, &result, STATES).await?;
            let states =
                queries::find_states(&session, &ids_of(&skipped, SkipReason::Locked)).await?;
            let empty = states.into_iter().filter(|letter| letter.is_forgotten);
            let mut forgotten_before: HashSet<i64> = empty.map(|letter| letter.id).collect();
            let gone = ids_of(&skipped, SkipReason::NotFound);
            forgotten_before.extend(queries::find_pruned(&session, &gone).await?);
            skipped.retain(|letter| !forgotten_before.contains(&letter.id));
            let kept = Selection::find_beside(&session, &self.which, KEPT, KEPT_LIMIT).await?;
            skipped.extend(skipped::find_unless(&session, &kept, [].into_iter(), STATES).await?);
            anyhow::Ok((skipped, forgotten_before))
        };
        let (not_forgotten, forgotten_before) = match found.await {
            Ok(found) => found,
            Err(error) => return Err(result.into_error(error, "forgotten")),
        };
        let outcome = if not_forgotten.is_empty() { Outcome::Ok } else { Outcome::Problems };
        if self.json {
            let mut before: Vec<i64> = forgotten_before.into_iter().collect();
            before.sort_unstable();
            output::json(&ForgetReport {
                matched: selection.ids.len(),
                forgotten: result.changed.clone(),
                forgotten_before: before,
                operation_id: attribution.operation_id,
                not_forgotten,
            })?;
            return result.finish(outcome, "forgotten");
        }
        let count = result.changed.len();
        let is = if count == 1 { "is" } else { "are" };
        output::text(&format!("{} {is} forgotten.\n", output::counted(count, NOUN)))?;
        if !forgotten_before.is_empty() {
            let count = forgotten_before.len();
            output::note(&format!("Of {count} more nothing was kept any more."));
        }
        skipped::print(&not_forgotten, "forgotten");
        result.finish(outcome, "forgotten")
    }
}

/// Returns the ids that were skipped for this reason.
fn ids_of(skipped: &[SkippedLetter], reason: SkipReason) -> Vec<i64> {
    let skipped = skipped.iter().filter(|letter| letter.reason == reason);
    skipped.map(|letter| letter.id).collect()
}

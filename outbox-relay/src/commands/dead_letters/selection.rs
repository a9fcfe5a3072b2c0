//! The dead letters that a command changes: found once, agreed to by the person, and then changed
//! batch by batch, with nothing among them that came since.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::bail;
use serde::Serialize;
use tokio::time::sleep;

use super::args::{LetterFilter, WhichArgs};
use super::letter::{self, Letter};
use super::queries;
use super::tables::Session;
use crate::commands::batches::{self, ChangeResult};
use crate::commands::consent::Consent;
use crate::commands::output;
use crate::commands::selection::EXAMPLES;

/// The noun in counts and questions.
pub(super) const NOUN: &str = "dead letter";

/// The maximum number that one command changes: their ids are held in memory.
const LIMIT: usize = 1_000_000;

/// How often to try a locked dead letter, and the pause in between. Other commands hold their locks
/// for less time in all, unless they wait for the broker.
const ATTEMPTS: u32 = 5;
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Selection {
    /// In ascending order.
    pub(super) ids: Vec<i64>,
    /// Whether a person named each of them.
    pub(super) is_named: bool,
    /// The states that they must be in to be changed.
    states: &'static [&'static str],
}

/// What a dry run found.
#[derive(Serialize)]
struct DryRun {
    matched: usize,
    /// For `--up-to-id`.
    up_to_id: Option<i64>,
    dry_run: bool,
    examples: Vec<Letter>,
}

impl Selection {
    /// Finds the dead letters that are named, or that match now and are in one of `states`.
    pub(super) async fn find(
        session: &Session,
        which: &WhichArgs,
        states: &'static [&'static str],
    ) -> anyhow::Result<Self> {
        let is_named = !which.ids.is_empty();
        let mut ids = if is_named {
            which.ids.clone()
        } else {
            let filter = conditions(session, which).await?;
            queries::select_matching(session, &filter, states, LIMIT + 1).await?
        };
        if ids.len() > LIMIT {
            bail!(
                "more than {LIMIT} dead letters match: change them in parts, by --queue, --until or --up-to-id"
            );
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(Self { ids, is_named, states })
    }

    /// Returns at most `limit` dead letters that match the filter, but are in one of `states`,
    /// which the command does not change.
    pub(super) async fn find_beside(
        session: &Session,
        which: &WhichArgs,
        states: &[&str],
        limit: usize,
    ) -> anyhow::Result<Vec<i64>> {
        if !which.ids.is_empty() {
            return Ok(Vec::new());
        }
        let filter = conditions(session, which).await?;
        queries::select_matching(session, &filter, states, limit).await
    }

    /// Prints how many dead letters would be, say, `returned`, and some of them.
    pub(super) async fn print_dry_run(
        mut self,
        session: &Session,
        changed: &str,
        json: bool,
    ) -> anyhow::Result<()> {
        if self.is_named {
            let mut states = queries::find_states(session, &self.ids).await?;
            states.retain(|letter| self.states.contains(&letter.state.as_str()));
            self.ids = states.into_iter().map(|letter| letter.id).collect();
            self.ids.sort_unstable();
        }
        let examples: Vec<i64> = self.ids.iter().copied().take(EXAMPLES).collect();
        let examples = queries::list(session, &examples).await?;
        let (matched, up_to_id) = (self.ids.len(), self.ids.last().copied());
        if json {
            return output::json(&DryRun { matched, up_to_id, dry_run: true, examples });
        }
        output::text(&format!("{} would be {changed}.\n", output::counted(matched, NOUN)))?;
        if let Some(id) = up_to_id {
            output::text(&letter::table(&examples))?;
            if matched > EXAMPLES {
                output::text(&format!("… and {} more\n", matched - EXAMPLES))?;
            }
            if !self.is_named {
                output::note(&format!("To change these: --expect {matched} --up-to-id {id}"));
            }
        }
        Ok(())
    }

    /// Fails unless the person agrees. Does not ask if each id was given.
    pub(super) async fn obtain(&self, consent: Consent<'_>) -> anyhow::Result<()> {
        if self.is_named { Ok(()) } else { consent.obtain(self.ids.len()).await }
    }

    /// Applies `change`, which returns the ids that it changed, batch by batch. Retries locked dead
    /// letters for a second. `json` says how progress is shown.
    pub(super) async fn change(
        &self,
        session: &Session,
        json: bool,
        mut change: impl AsyncFnMut(&[i64]) -> anyhow::Result<Vec<i64>>,
    ) -> anyhow::Result<ChangeResult<i64, i64>> {
        batches::change(&self.ids, NOUN, json, async |batch: &[i64], changed: &mut Vec<i64>| {
            let mut rest = batch.to_vec();
            for attempt in 1.. {
                let done = change(&rest).await?;
                let is_done: HashSet<i64> = done.iter().copied().collect();
                rest.retain(|id| !is_done.contains(id));
                changed.extend(done);
                if attempt >= ATTEMPTS || !self.any_is_changeable(session, &rest).await? {
                    break;
                }
                sleep(RETRY_INTERVAL).await;
            }
            Ok(())
        })
        .await
    }

    /// Returns true if one of `ids` is in a state to be changed, so that only a lock prevents it.
    async fn any_is_changeable(&self, session: &Session, ids: &[i64]) -> anyhow::Result<bool> {
        if ids.is_empty() {
            return Ok(false);
        }
        let states = queries::find_states(session, ids).await?;
        let mut left = states.iter().filter(|letter| !letter.is_forgotten);
        Ok(left.any(|letter| self.states.contains(&letter.state.as_str())))
    }
}

async fn conditions(session: &Session, which: &WhichArgs) -> anyhow::Result<LetterFilter> {
    let filter = which.filter.filter(session).await?;
    Ok(LetterFilter { up_to_id: which.expect.up_to_id, ..filter })
}

//! Which dead letters were not changed, and why.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::queries::{self, LetterState};
use super::tables::Session;
use crate::commands::batches::ChangeResult;
use crate::commands::output::{self, escape};

/// How many of them are printed.
const PRINT_LIMIT: usize = 20;

/// How many are looked up at once.
const BATCH: usize = 1000;

/// The states of dead letters that can be returned. `returning` ones may be left by an interrupted
/// command, and are published again.
pub(super) const RETURNABLE: &[&str] = &["open", "returning"];

/// Why a dead letter was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SkipReason {
    /// There is none with this id.
    NotFound,
    /// Another session has it locked.
    Locked,
    /// The database refuses to change it.
    Refused,
    /// Its state does not allow it, or no longer.
    State,
    /// No queue is known that it goes back to.
    NoWayBack,
}

/// A dead letter that was not changed.
#[derive(Debug, Serialize)]
pub(super) struct SkippedLetter {
    pub(super) id: i64,
    pub(super) reason: SkipReason,
    /// The state that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// Who changed it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// What the database says.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl SkippedLetter {
    fn sentence(&self, changed: &str) -> String {
        let by = self.by.as_ref().map_or_else(String::new, |by| format!(" (last changed by {by})"));
        let state = self.state.as_deref().unwrap_or_default();
        let why = match self.reason {
            SkipReason::NotFound => {
                "there is none: it never existed, or retention has deleted it".to_owned()
            }
            SkipReason::Locked => "somebody else is changing it, or returning it".to_owned(),
            SkipReason::Refused => self.detail.clone().unwrap_or_default(),
            SkipReason::State if state == "returning" => {
                format!(
                    "it is being returned, or was when a command ended too early{by}: return it again to know"
                )
            }
            SkipReason::State => format!("it is {state}{by}"),
            SkipReason::NoWayBack => {
                "no queue is known that it goes back to: name it with --to".to_owned()
            }
        };
        format!("{} was not {changed}: {why}", self.id)
    }
}

/// Returns the dead letters in `ids` that were not changed, with the reasons: those that `result`
/// has as refused, and those that were locked, missing or in none of `states`.
pub(super) async fn find(
    session: &Session,
    ids: &[i64],
    result: &ChangeResult<i64, i64>,
    states: &[&str],
) -> anyhow::Result<Vec<SkippedLetter>> {
    let refused: HashMap<i64, &String> =
        result.refused.iter().map(|(id, why)| (*id, why)).collect();
    let mut skipped: Vec<SkippedLetter> =
        refused.iter().map(|(id, why)| refused_by_database(*id, why)).collect();
    if !result.is_ended() {
        let tried = result.changed.iter().chain(refused.keys()).copied();
        skipped.extend(find_unless(session, ids, tried, states).await?);
    }
    skipped.sort_unstable_by_key(|letter| letter.id);
    Ok(skipped)
}

/// Returns why the dead letters in `ids` were skipped, except those in `known`.
pub(super) async fn find_unless(
    session: &Session,
    ids: &[i64],
    known: impl Iterator<Item = i64>,
    states: &[&str],
) -> anyhow::Result<Vec<SkippedLetter>> {
    let known: HashSet<i64> = known.collect();
    let rest: Vec<i64> = ids.iter().copied().filter(|id| !known.contains(id)).collect();
    let mut skipped = Vec::new();
    for batch in rest.chunks(BATCH) {
        skipped.extend(look_up(session, batch, states).await?);
    }
    Ok(skipped)
}

async fn look_up(
    session: &Session,
    ids: &[i64],
    states: &[&str],
) -> anyhow::Result<Vec<SkippedLetter>> {
    let found = queries::find_states(session, ids).await?;
    let mut found: HashMap<i64, LetterState> =
        found.into_iter().map(|letter| (letter.id, letter)).collect();
    let skipped = ids.iter().map(|id| match found.remove(id) {
        None => SkippedLetter {
            id: *id,
            reason: SkipReason::NotFound,
            state: None,
            by: None,
            detail: None,
        },
        Some(LetterState { id, state, actor, has_no_way_back, .. }) => {
            let is_eligible = states.contains(&state.as_str());
            let reason = match (is_eligible, has_no_way_back && states == RETURNABLE) {
                (false, _) => SkipReason::State,
                (true, true) => SkipReason::NoWayBack,
                (true, false) => SkipReason::Locked,
            };
            SkippedLetter { id, reason, state: Some(state), by: actor, detail: None }
        }
    });
    Ok(skipped.collect())
}

fn refused_by_database(id: i64, why: &str) -> SkippedLetter {
    let detail = Some(why.to_owned());
    SkippedLetter { id, reason: SkipReason::Refused, state: None, by: None, detail }
}

/// Prints why dead letters were not, say, `returned`.
pub(super) fn print(skipped: &[SkippedLetter], changed: &str) {
    for letter in skipped.iter().take(PRINT_LIMIT) {
        output::note(&escape::line(&letter.sentence(changed)));
    }
    if skipped.len() > PRINT_LIMIT {
        let more = skipped.len() - PRINT_LIMIT;
        output::note(&format!("… and {more} more were not {changed}; --json names them all"));
    }
}

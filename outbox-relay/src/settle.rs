//! Notes in the outbox what became of a batch: one statement for the published, one for the failed.

use std::collections::HashSet;
use std::time::Duration;

use service_kit::backoff::delay_after;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::claim::Event;
use crate::config::RelayArgs;
use crate::database::{Database, DatabaseError};
use crate::queries;
use crate::verdict::Verdict;

/// Characters of a reason that are kept.
const REASON_LIMIT: usize = 1000;

/// What is to be noted. What the broker confirmed may be noted at any later time, also by a relay that has
/// lost its lock meanwhile: both statements pass over rows that are published already, and over other events that got
/// the ids of these from a server that knows nothing of them.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    published: Vec<Key>,
    failed: Vec<Failure>,
}

#[derive(Debug, Clone, Copy)]
struct Key {
    id: i64,
    event_id: Uuid,
}

#[derive(Debug)]
struct Failure {
    key: Key,
    reason: String,
    /// `None`: stuck.
    retry_in: Option<Duration>,
}

impl Settlement {
    pub(crate) fn of(events: &[Event], verdicts: &[Option<Verdict>], args: &RelayArgs) -> Self {
        let mut settlement = Self::default();
        for (event, verdict) in events.iter().zip(verdicts) {
            let key = Key { id: event.id, event_id: event.event_id };
            let (reason, retry_in) = match verdict {
                Some(Verdict::Published) => {
                    settlement.published.push(key);
                    continue;
                }
                Some(Verdict::Failed(reason)) => {
                    let (first, longest) = (args.relay_backoff_min, args.relay_backoff_max);
                    (reason, Some(delay_after(event.attempts, first, longest)))
                }
                Some(Verdict::Impossible(reason)) => (reason, None),
                Some(Verdict::Unknown) | None => continue,
            };
            settlement.failed.push(Failure { key, reason: storable(reason), retry_in });
        }
        settlement
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.published.is_empty() && self.failed.is_empty()
    }

    /// Leaves those that are among `events`.
    pub(crate) fn retain(&mut self, events: &[Event]) {
        if self.is_empty() {
            return;
        }
        let pending: HashSet<Uuid> = events.iter().map(|event| event.event_id).collect();
        self.published.retain(|key| pending.contains(&key.event_id));
        self.failed.retain(|failure| pending.contains(&failure.key.event_id));
    }

    /// Adds what `other` holds.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.published.append(&mut other.published);
        self.failed.append(&mut other.failed);
    }

    /// Events whose outcome is to be noted.
    pub(crate) fn len(&self) -> usize {
        self.published.len() + self.failed.len()
    }
}

/// Notes `settlement` and empties it; what could not be noted stays in it. Returns what changed no row: those were
/// deleted, or settled by somebody else, or something keeps the relay from updating them.
pub(crate) async fn settle(
    database: &Database,
    settlement: &mut Settlement,
) -> Result<Settlement, DatabaseError> {
    let mut unmoved = Settlement::default();
    if !settlement.published.is_empty() {
        let (ids, event_ids) = columns(settlement.published.iter().copied());
        let rows = queries::settle_published(database, &ids, &event_ids).await?;
        unmoved.published =
            unchanged(std::mem::take(&mut settlement.published), |key| *key, &rows)?;
    }
    if !settlement.failed.is_empty() {
        let failed = &settlement.failed;
        let (ids, event_ids) = columns(failed.iter().map(|failure| failure.key));
        let reasons: Vec<&str> = failed.iter().map(|failure| failure.reason.as_str()).collect();
        let delays: Vec<Option<f64>> = failed
            .iter()
            .map(|failure| failure.retry_in.map(|delay| delay.as_secs_f64()))
            .collect();
        let rows = queries::settle_failed(database, &ids, &event_ids, &reasons, &delays).await?;
        let failed = std::mem::take(&mut settlement.failed);
        unmoved.failed = unchanged(failed, |failure| failure.key, &rows)?;
    }
    Ok(unmoved)
}

fn columns(keys: impl Iterator<Item = Key>) -> (Vec<i64>, Vec<Uuid>) {
    keys.map(|key| (key.id, key.event_id)).unzip()
}

/// Those of `settled` whose id is not among the `rows` that a statement changed.
fn unchanged<T>(
    mut settled: Vec<T>,
    key: impl Fn(&T) -> Key,
    rows: &[Row],
) -> Result<Vec<T>, DatabaseError> {
    if rows.len() == settled.len() {
        return Ok(Vec::new());
    }
    let changed: HashSet<i64> =
        rows.iter().map(|row| row.try_get(0)).collect::<Result<_, tokio_postgres::Error>>()?;
    settled.retain(|one| !changed.contains(&key(one).id));
    Ok(settled)
}

/// PostgreSQL's text holds no NUL, and nobody reads more than a screen of a reason.
fn storable(reason: &str) -> String {
    reason.chars().filter(|&c| c != '\0').take(REASON_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters() {
        let reason = storable(&format!("\0{}", "ñ".repeat(2000)));
        assert_eq!(reason, "ñ".repeat(1000));
    }
}

//! Notes in the outbox what became of a batch: one statement for the published, one for the failed.

use std::time::Duration;

use service_kit::backoff::delay_after;

use crate::claim::Event;
use crate::config::RelayArgs;
use crate::database::{Database, DatabaseError};
use crate::queries;
use crate::verdict::Verdict;

/// Characters of a reason that are kept.
const REASON_LIMIT: usize = 1000;

/// What is to be noted. What the broker confirmed may be noted at any later time, also by a relay that has
/// lost its lock meanwhile: both statements pass over rows that are published already.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    published: Vec<i64>,
    failed: Vec<Failure>,
}

#[derive(Debug)]
struct Failure {
    id: i64,
    reason: String,
    /// `None`: stuck.
    retry_in: Option<Duration>,
}

impl Settlement {
    pub(crate) fn of(events: &[Event], verdicts: &[Option<Verdict>], args: &RelayArgs) -> Self {
        let mut settlement = Self::default();
        for (event, verdict) in events.iter().zip(verdicts) {
            let (reason, retry_in) = match verdict {
                Some(Verdict::Published) => {
                    settlement.published.push(event.id);
                    continue;
                }
                Some(Verdict::Failed(reason)) => {
                    let (first, longest) = (args.relay_backoff_min, args.relay_backoff_max);
                    (reason, Some(delay_after(event.attempts, first, longest)))
                }
                Some(Verdict::Impossible(reason)) => (reason, None),
                Some(Verdict::Unknown) | None => continue,
            };
            settlement.failed.push(Failure { id: event.id, reason: storable(reason), retry_in });
        }
        settlement
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.published.is_empty() && self.failed.is_empty()
    }

    /// Events whose outcome is to be noted.
    pub(crate) fn len(&self) -> usize {
        self.published.len() + self.failed.len()
    }
}

/// Notes `settlement` and empties it; what could not be noted stays in it.
pub(crate) async fn settle(
    database: &Database,
    settlement: &mut Settlement,
) -> Result<(), DatabaseError> {
    if !settlement.published.is_empty() {
        queries::settle_published(database, &settlement.published).await?;
        settlement.published.clear();
    }
    if !settlement.failed.is_empty() {
        let failed = &settlement.failed;
        let ids: Vec<i64> = failed.iter().map(|failure| failure.id).collect();
        let reasons: Vec<&str> = failed.iter().map(|failure| failure.reason.as_str()).collect();
        let delays: Vec<Option<f64>> = failed
            .iter()
            .map(|failure| failure.retry_in.map(|delay| delay.as_secs_f64()))
            .collect();
        queries::settle_failed(database, &ids, &reasons, &delays).await?;
        settlement.failed.clear();
    }
    Ok(())
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

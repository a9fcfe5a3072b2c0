//! Notes in the outbox what became of events: one statement for the published, one for the failed.

use std::sync::Arc;
use std::time::Duration;

use service_kit::backoff::delay_after;
use uuid::Uuid;

use crate::claim::Event;
use crate::config::RelayArgs;
use crate::database::{DatabaseError, SettleSession};
use crate::queries;
use crate::queue::Place;
use crate::verdict::{Refusal, Verdict};

/// Characters of a reason that are kept.
const REASON_LIMIT: usize = 1000;

/// What is to be noted. What the broker confirmed may be noted at any later time, also by a relay that has
/// lost its lanes meanwhile: the statements pass over rows that are published already, and over other events that got
/// the ids of these from a server that knows nothing of them.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    published: Vec<Key>,
    failed: Vec<Failure>,
}

#[derive(Debug, Clone, Copy)]
struct Key {
    place: Place,
    event_id: Uuid,
}

#[derive(Debug)]
struct Failure {
    key: Key,
    reason: String,
    /// `None`: stuck.
    retry_in: Option<Duration>,
}

/// What a failed attempt means for the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It is tried again.
    Waits,
    /// A person has to look.
    Stuck,
}

impl Settlement {
    pub(crate) fn published(&mut self, event: &Event) {
        self.published.push(Key { place: event.place, event_id: event.event_id });
    }

    /// Adds a failed attempt, by its `verdict`; says what it means for the event.
    pub(crate) fn failed(&mut self, event: &Event, verdict: &Verdict, args: &RelayArgs) -> Failed {
        let made = event.attempts.saturating_add(1);
        let (reason, retry_in) = match verdict {
            Verdict::Impossible(reason) => (storable(reason), None),
            Verdict::Failed(_, reason) if (1..=made).contains(&args.relay_max_attempts) => {
                (format!("given up after {made} attempts: {}", storable(reason)), None)
            }
            Verdict::Failed(refusal, reason) => {
                let (reason, is_stuck) = match refusal {
                    Refusal::Unacceptable => event.refusals.one_more(&storable(reason)),
                    _ => (storable(reason), false),
                };
                let (first, longest) = (args.relay_backoff_min, args.relay_backoff_max);
                (reason, (!is_stuck).then(|| delay_after(event.attempts, first, longest)))
            }
            Verdict::Published | Verdict::Unknown => return Failed::Waits,
        };
        let key = Key { place: event.place, event_id: event.event_id };
        self.failed.push(Failure { key, reason, retry_in });
        if retry_in.is_some() { Failed::Waits } else { Failed::Stuck }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.published.is_empty() && self.failed.is_empty()
    }

    /// Adds what `other` holds.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.published.append(&mut other.published);
        self.failed.append(&mut other.failed);
    }

    /// Events whose outcome is to be noted.
    pub(crate) const fn len(&self) -> usize {
        self.published.len() + self.failed.len()
    }
}

/// What came of noting a settlement.
#[derive(Debug)]
pub(crate) struct Settled {
    /// Events of which nothing has to be noted any more.
    pub(crate) places: Vec<Place>,
    /// An event that failed is not pending any more, by somebody else's doing: nothing holds back those behind it.
    pub(crate) freed: bool,
    /// What could not be noted.
    pub(crate) left: Settlement,
    pub(crate) result: Result<(), DatabaseError>,
}

/// Notes `settlement`; `keep`: published events stay in the table.
pub(crate) async fn settle(
    session: Arc<SettleSession>,
    settlement: Settlement,
    keep: bool,
) -> Settled {
    let places = Vec::with_capacity(settlement.len());
    let mut settled = Settled { places, freed: false, left: settlement, result: Ok(()) };
    settled.result = note(&session, &mut settled, keep).await;
    settled
}

async fn note(
    SettleSession { session, statements }: &SettleSession,
    Settled { places, freed, left, .. }: &mut Settled,
    keep: bool,
) -> Result<(), DatabaseError> {
    let mut unmoved = Settlement::default();
    if !left.published.is_empty() {
        let (ids, event_ids) = columns(left.published.iter());
        let changed = if keep {
            queries::settle_published(session, statements, &ids, &event_ids).await?
        } else {
            queries::settle_deleted(session, statements, &ids, &event_ids).await?
        };
        let published = std::mem::take(&mut left.published);
        unmoved.published = sort_out(published, |key| *key, |id| changed.contains(&id), places);
    }
    if !left.failed.is_empty() {
        let failed = &left.failed;
        let (ids, event_ids) = columns(failed.iter().map(|failure| &failure.key));
        let reasons: Vec<&str> = failed.iter().map(|failure| failure.reason.as_str()).collect();
        let delays: Vec<Option<f64>> = failed
            .iter()
            .map(|failure| failure.retry_in.map(|delay| delay.as_secs_f64()))
            .collect();
        let changed =
            queries::settle_failed(session, statements, &ids, &event_ids, &reasons, &delays)
                .await?;
        let failed = std::mem::take(&mut left.failed);
        unmoved.failed =
            sort_out(failed, |failure| failure.key, |id| changed.contains(&id), places);
    }
    left.append(unmoved);
    if left.is_empty() {
        return Ok(());
    }
    // Deleted or settled by somebody else, in most cases; but what is pending all the same must not be sent again and again.
    let keys = left.published.iter().chain(left.failed.iter().map(|failure| &failure.key));
    let (ids, event_ids) = columns(keys);
    let pending = queries::still_pending(session, statements, &ids, &event_ids).await?;
    let gone = |id| !pending.contains(&id);
    left.published = sort_out(std::mem::take(&mut left.published), |key| *key, gone, places);
    let failed = left.failed.len();
    left.failed = sort_out(std::mem::take(&mut left.failed), |one| one.key, gone, places);
    *freed = left.failed.len() < failed;
    if left.is_empty() { Ok(()) } else { Err(DatabaseError::Unmoved) }
}

fn columns<'a>(keys: impl Iterator<Item = &'a Key>) -> (Vec<i64>, Vec<Uuid>) {
    keys.map(|key| (key.place.id, key.event_id)).unzip()
}

/// Adds the places of those that are done to `places`, by their ids, and returns the others.
fn sort_out<T>(
    settled: Vec<T>,
    key: impl Fn(&T) -> Key,
    done: impl Fn(i64) -> bool,
    places: &mut Vec<Place>,
) -> Vec<T> {
    let (settled, left): (Vec<T>, Vec<T>) =
        settled.into_iter().partition(|one| done(key(one).place.id));
    places.extend(settled.iter().map(|one| key(one).place));
    left
}

/// PostgreSQL's text holds no NUL, and nobody reads more than a screen of a reason.
fn storable(reason: &str) -> String {
    reason.chars().filter(|&c| c != '\0').take(REASON_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use service_kit::config::try_parse_from;

    use super::*;
    use crate::claim::tests::event;
    use crate::cli::Cli;

    fn args(settings: &[&str]) -> RelayArgs {
        let urls = ["--database-url", "postgres://u@h/d", "--rabbitmq-url", "amqp://h"];
        let cli = try_parse_from::<Cli>([&["outbox-relay"], &urls[..], settings].concat());
        cli.ok().and_then(|cli| cli.into_config().ok()).expect("good settings").relay
    }

    /// The only failure that is to be noted.
    fn noted(attempts: u32, verdict: &Verdict, args: &RelayArgs) -> (Failed, Failure) {
        let mut settlement = Settlement::default();
        let failed = settlement.failed(&Event { attempts, ..event() }, verdict, args);
        assert_eq!((settlement.len(), settlement.is_empty()), (1, false));
        (failed, settlement.failed.remove(0))
    }

    #[test]
    fn a_row_that_is_no_message_is_stuck_at_once() {
        let verdict = Verdict::Impossible("no\0 message".to_owned());
        let (failed, failure) = noted(0, &verdict, &args(&[]));
        assert_eq!((failed, failure.retry_in), (Failed::Stuck, None));
        assert_eq!(failure.reason, "no message");
    }

    proptest! {
        #[test]
        fn an_event_is_given_up_with_its_last_attempt_and_not_before(
            attempts in prop_oneof![0..30_u32, Just(u32::MAX)],
            limit in 0..30_u32,
        ) {
            let limit_text = limit.to_string();
            let verdict = Verdict::Failed(Refusal::Returned, "no queue".to_owned());
            let (failed, failure) = noted(attempts, &verdict, &args(&["--relay-max-attempts", &limit_text]));
            if limit > 0 && attempts.saturating_add(1) >= limit {
                prop_assert_eq!(failed, Failed::Stuck);
                prop_assert_eq!(failure.retry_in, None);
                let made = attempts.saturating_add(1);
                prop_assert_eq!(failure.reason, format!("given up after {made} attempts: no queue"));
            } else {
                prop_assert_eq!(failed, Failed::Waits);
                let longest = Duration::from_mins(5);
                prop_assert!(failure.retry_in.is_some_and(|wait| !wait.is_zero() && wait <= longest));
                prop_assert_eq!(failure.reason, "no queue");
            }
        }

        #[test]
        fn a_reason_can_be_stored_whatever_the_broker_says(said: String) {
            let reason = storable(&said);
            prop_assert!(!reason.contains('\0'));
            prop_assert!(reason.chars().count() <= REASON_LIMIT);
        }

        #[test]
        fn what_is_done_and_what_is_left_are_the_whole(ids in prop::collection::btree_set(0..50_i64, 0..20), done: u64) {
            let key = |id: &i64| Key { place: Place { id: *id, ..event().place }, event_id: Uuid::nil() };
            let mut places = Vec::new();
            let is_done = |id: i64| done & 1 << id != 0;
            let left = sort_out(ids.iter().map(key).collect(), |key| *key, is_done, &mut places);
            prop_assert!(places.iter().all(|place| is_done(place.id)));
            prop_assert!(left.iter().all(|key| !is_done(key.place.id)));
            prop_assert_eq!(places.len() + left.len(), ids.len());
        }
    }

    #[test]
    fn what_could_not_be_noted_is_added_to_what_came_meanwhile() {
        let (mut settlement, mut left) = (Settlement::default(), Settlement::default());
        settlement.published(&event());
        left.published(&event());
        left.failed(
            &event(),
            &Verdict::Failed(Refusal::Returned, "no queue".to_owned()),
            &args(&[]),
        );
        settlement.append(left);
        assert_eq!(settlement.len(), 3);
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let reason = storable(&format!("\0{}", "ñ".repeat(2000)));
        assert_eq!(reason, "ñ".repeat(1000));
    }
}

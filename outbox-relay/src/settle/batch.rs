//! What became of events and is to be noted in their rows.

use std::time::Duration;

use service_kit::backoff::delay_after;
use uuid::Uuid;

use crate::config::RelayArgs;
use crate::publish::event::Event;
use crate::publish::verdict::{Refusal, Verdict};
use crate::queue::Place;

/// Characters of a reason that are kept.
const REASON_LIMIT: usize = 1000;

/// What is to be noted. What the broker confirmed may be noted at any later time, also by a relay that has
/// lost its lanes meanwhile: the statements pass over rows that are published already, and over other events that got
/// the ids of these from a server that knows nothing of them.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    pub(crate) published: Vec<Item>,
    pub(crate) failed: Vec<Item>,
}

/// The outcome of one event.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) place: Place,
    pub(crate) event_id: Uuid,
    /// Failed attempts that its row had when it was loaded. Once another relay has noted one more, the event is that relay's affair.
    pub(crate) attempts: u32,
    /// `None`: it is published.
    pub(crate) failure: Option<Failure>,
}

impl Item {
    /// Whether noting the outcome changes which events the table holds back: a failure does, and the success of an event that failed
    /// before. Only the relay that owns the event's lane may do so.
    pub(crate) const fn changes_what_is_held_back(&self) -> bool {
        self.attempts > 0 || self.failure.is_some()
    }
}

/// A failed attempt.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    /// `None`: stuck.
    pub(crate) retry_in: Option<Duration>,
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
        self.add(Item {
            place: event.place,
            event_id: event.event_id,
            attempts: event.attempts,
            failure: None,
        });
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
        let failure = Some(Failure { reason, retry_in });
        self.add(Item {
            place: event.place,
            event_id: event.event_id,
            attempts: event.attempts,
            failure,
        });
        if retry_in.is_some() { Failed::Waits } else { Failed::Stuck }
    }

    pub(crate) fn add(&mut self, item: Item) {
        if item.failure.is_none() { self.published.push(item) } else { self.failed.push(item) }
    }

    /// Removes and returns those for which `is_taken` says yes.
    pub(crate) fn take_if(&mut self, is_taken: impl Fn(&Item) -> bool) -> Self {
        Self {
            published: self.published.extract_if(.., |item| is_taken(item)).collect(),
            failed: self.failed.extract_if(.., |item| is_taken(item)).collect(),
        }
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

/// PostgreSQL's text holds no NUL, and nobody reads more than a screen of a reason.
fn storable(reason: &str) -> String {
    reason.chars().filter(|&c| c != '\0').take(REASON_LIMIT).collect()
}

/// `reason` for a database in which not every character can be stored.
pub(crate) fn in_ascii(reason: &str) -> String {
    let escaped = |c: char| {
        if c.is_ascii() { c.to_string() } else { c.escape_unicode().to_string() }
    };
    reason.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use service_kit::config::try_parse_from;

    use super::*;
    use crate::cli::Cli;
    use crate::publish::event::tests::event;

    fn args(settings: &[&str]) -> RelayArgs {
        let urls = ["--database-url", "postgres://u@h/d", "--rabbitmq-url", "amqp://h"];
        let cli = try_parse_from::<Cli>([&["outbox-relay", "run"], &urls[..], settings].concat());
        cli.ok().and_then(|cli| cli.into_config().ok()).expect("good settings").relay
    }

    /// The only failure that is to be noted.
    fn noted(attempts: u32, verdict: &Verdict, args: &RelayArgs) -> (Failed, Failure) {
        let mut settlement = Settlement::default();
        let failed = settlement.failed(&Event { attempts, ..event() }, verdict, args);
        assert_eq!((settlement.len(), settlement.is_empty()), (1, false));
        (failed, settlement.failed.remove(0).failure.expect("a failure"))
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
            prop_assert!(in_ascii(&reason).is_ascii());
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

    #[test]
    fn a_reason_keeps_its_meaning_where_not_every_character_can_be_stored() {
        assert_eq!(in_ascii("no queue \u{fffd} caf\u{e9}"), "no queue \\u{fffd} caf\\u{e9}");
    }
}

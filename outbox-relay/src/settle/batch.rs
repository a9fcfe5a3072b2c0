//! Outcomes of events that are to be written into their rows.

use std::time::Duration;

use service_kit::backoff::delay_after;
use uuid::Uuid;

use crate::cause::ErrorKind;
use crate::config::RelayArgs;
use crate::publish::event::Event;
use crate::publish::verdict::{FailureCause, Verdict};
use crate::queue::EventRef;

/// Characters of a reason that are kept.
const REASON_LIMIT: usize = 1000;

/// Outcomes to be written. A confirmed event may be marked as published at any later time, also by
/// a relay that has lost its lanes meanwhile: the statements pass over rows that are published
/// already, and over other events that got the same ids after a failover.
#[derive(Debug, Default)]
pub(crate) struct SettleBatch {
    pub(crate) published: Vec<SettleItem>,
    pub(crate) failed: Vec<SettleItem>,
}

/// What a statement does to the rows of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SettleAction {
    MarkPublished,
    DeletePublished,
    RecordFailure,
}

/// The outcome of one event.
#[derive(Debug, Clone)]
pub(crate) struct SettleItem {
    pub(crate) event_ref: EventRef,
    pub(crate) event_id: Uuid,
    /// Failed attempts that its row had when it was loaded. If it has more by now, another relay
    /// tried the event, and the outcome is dropped.
    pub(crate) attempts: u32,
    /// `None` when it is published.
    pub(crate) failure: Option<Failure>,
}

impl SettleItem {
    /// Whether writing the outcome changes which events the table holds back: a failure does, and
    /// the success of an event that failed before. Only the relay that owns the event's lane may do
    /// so.
    pub(crate) const fn changes_what_is_held_back(&self) -> bool {
        self.attempts > 0 || self.failure.is_some()
    }
}

/// A failed attempt.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) reason: String,
    /// `None` when the event is stuck.
    pub(crate) retry_in: Option<Duration>,
}

impl Failure {
    pub(crate) const fn disposition(&self) -> Disposition {
        if self.retry_in.is_some() { Disposition::Retry } else { Disposition::Stuck }
    }
}

/// What a failed attempt means for the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// It is tried again later.
    Retry,
    /// A person has to decide.
    Stuck,
}

impl SettleBatch {
    pub(crate) fn published(&mut self, event: &Event) {
        self.add(SettleItem {
            event_ref: event.event_ref,
            event_id: event.event_id,
            attempts: event.attempts,
            failure: None,
        });
    }

    /// Adds a failed attempt, by its `verdict`. Returns what it means for the event.
    pub(crate) fn failed(
        &mut self,
        event: &Event,
        verdict: &Verdict,
        args: &RelayArgs,
    ) -> Disposition {
        let Some(kind) = ErrorKind::of(verdict) else {
            return Disposition::Retry;
        };
        let made = event.attempts.saturating_add(1);
        let (reason, retry_in) = match verdict {
            Verdict::Unpublishable(reason) => (storable(reason), None),
            Verdict::Failed(_, reason) if (1..=made).contains(&args.relay_max_attempts) => {
                (format!("given up after {made} attempts: {}", storable(reason)), None)
            }
            Verdict::Failed(cause, reason) => {
                let (reason, is_stuck) = match cause {
                    FailureCause::Unacceptable => event.refusals.add(&storable(reason)),
                    FailureCause::Returned | FailureCause::Nacked | FailureCause::ChannelClosed => {
                        (storable(reason), false)
                    }
                };
                let (first, longest) = (args.relay_backoff_min, args.relay_backoff_max);
                (reason, (!is_stuck).then(|| delay_after(event.attempts, first, longest)))
            }
            Verdict::Published | Verdict::Unknown => return Disposition::Retry,
        };
        let failure = Failure { kind, reason, retry_in };
        let disposition = failure.disposition();
        self.add(SettleItem {
            event_ref: event.event_ref,
            event_id: event.event_id,
            attempts: event.attempts,
            failure: Some(failure),
        });
        disposition
    }

    pub(crate) fn add(&mut self, item: SettleItem) {
        if item.failure.is_none() { self.published.push(item) } else { self.failed.push(item) }
    }

    /// Removes and returns those for which `is_taken` returns true.
    pub(crate) fn take_if(&mut self, is_taken: impl Fn(&SettleItem) -> bool) -> Self {
        Self {
            published: self.published.extract_if(.., |item| is_taken(item)).collect(),
            failed: self.failed.extract_if(.., |item| is_taken(item)).collect(),
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.published.is_empty() && self.failed.is_empty()
    }

    /// Adds the outcomes of `other`.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.published.append(&mut other.published);
        self.failed.append(&mut other.failed);
    }

    /// How many outcomes there are.
    pub(crate) const fn len(&self) -> usize {
        self.published.len() + self.failed.len()
    }
}

/// `reason` as it can be stored: without NUL, which PostgreSQL's text can't hold, and no longer
/// than a screen.
fn storable(reason: &str) -> String {
    reason.chars().filter(|&c| c != '\0').take(REASON_LIMIT).collect()
}

/// `reason` for a database that can't store every character.
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

    /// The only failure of the batch.
    fn noted(attempts: u32, verdict: &Verdict, args: &RelayArgs) -> (Disposition, Failure) {
        let mut batch = SettleBatch::default();
        let failed = batch.failed(&Event { attempts, ..event() }, verdict, args);
        assert_eq!((batch.len(), batch.is_empty()), (1, false));
        (failed, batch.failed.remove(0).failure.expect("a failure"))
    }

    #[test]
    fn a_row_that_is_no_message_is_stuck_at_once() {
        let verdict = Verdict::Unpublishable("no\0 message".to_owned());
        let (failed, failure) = noted(0, &verdict, &args(&[]));
        assert_eq!((failed, failure.retry_in), (Disposition::Stuck, None));
        assert_eq!(failure.reason, "no message");
    }

    proptest! {
        #[test]
        fn an_event_is_given_up_with_its_last_attempt_and_not_before(
            attempts in prop_oneof![0..30_u32, Just(u32::MAX)],
            limit in 0..30_u32,
        ) {
            let limit_text = limit.to_string();
            let verdict = Verdict::Failed(FailureCause::Returned, "no queue".to_owned());
            let (failed, failure) = noted(attempts, &verdict, &args(&["--relay-max-attempts", &limit_text]));
            if limit > 0 && attempts.saturating_add(1) >= limit {
                prop_assert_eq!(failed, Disposition::Stuck);
                prop_assert_eq!(failure.retry_in, None);
                let made = attempts.saturating_add(1);
                prop_assert_eq!(failure.reason, format!("given up after {made} attempts: no queue"));
            } else {
                prop_assert_eq!(failed, Disposition::Retry);
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
        let (mut batch, mut left) = (SettleBatch::default(), SettleBatch::default());
        batch.published(&event());
        left.published(&event());
        left.failed(
            &event(),
            &Verdict::Failed(FailureCause::Returned, "no queue".to_owned()),
            &args(&[]),
        );
        batch.append(left);
        assert_eq!(batch.len(), 3);
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

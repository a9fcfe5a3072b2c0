//! The ordering rule against a model of one aggregate.

use proptest::prelude::*;

use super::*;
use crate::queue::transition::Refill;

#[derive(Debug, Clone, Copy)]
enum Step {
    Arrive,
    Take,
    Confirm,
    Fail,
    Lose,
    Settle,
    Retry,
    Refill,
}

const STEPS: [Step; 8] = [
    Step::Arrive,
    Step::Take,
    Step::Confirm,
    Step::Fail,
    Step::Lose,
    Step::Settle,
    Step::Retry,
    Step::Refill,
];

/// One aggregate with the events 1, 2, 3 … in the table.
#[derive(Debug, Default)]
struct Model {
    queue: Option<AggregateQueue>,
    last_id: i64,
    last_confirmed: i64,
    ready: Option<i64>,
    in_flight: Option<i64>,
    /// It failed, and the table does not say so yet.
    failed: Option<i64>,
    /// It failed, and the table says so.
    held_back_behind: Option<i64>,
}

fn event(id: i64) -> EventRef {
    EventRef { id, key: 7, size: 1 }
}

impl Model {
    fn step(&mut self, step: Step) {
        match step {
            Step::Arrive => self.arrive(),
            Step::Take => {
                if let (Some(queue), Some(id)) = (&mut self.queue, self.ready.take()) {
                    queue.take(id);
                    self.in_flight = Some(id);
                }
            }
            Step::Confirm => {
                if let Some(id) = self.in_flight.take() {
                    self.last_confirmed = id;
                    self.run(|queue| queue.confirmed(id, None));
                }
            }
            Step::Fail => {
                if let Some(id) = self.in_flight.take() {
                    self.failed = Some(id);
                    self.run(AggregateQueue::failed);
                }
            }
            Step::Lose => {
                if let Some(id) = self.in_flight.take() {
                    self.run(|queue| queue.lost(event(id), None));
                }
            }
            Step::Settle => {
                let id = self.failed.take();
                self.held_back_behind = id.or(self.held_back_behind);
                let id = id.unwrap_or(self.last_confirmed);
                self.run(|queue| queue.settled(id, None));
            }
            Step::Retry => {
                if let Some(id) = self.held_back_behind.take() {
                    self.queue = Some(AggregateQueue::new(event(id), Arrival::Retry));
                    self.ready = Some(id);
                }
            }
            Step::Refill => {
                let refill = self.queue.as_ref().map(AggregateQueue::needs_refill);
                if let Some(Refill::Above(id)) = refill {
                    // Those that are confirmed are pending no more, or tracked.
                    let next = id.max(self.last_confirmed) + 1;
                    let found = (next..=self.last_id).take(CAPACITY).map(event).collect();
                    self.run(|queue| queue.refill(found, |_| true));
                }
            }
        }
    }

    fn arrive(&mut self) {
        self.last_id += 1;
        let new = event(self.last_id);
        match &mut self.queue {
            Some(queue) => {
                queue.arrive(new, Arrival::New);
            }
            // The table holds it back.
            None if self.held_back_behind.is_some() => (),
            None => {
                self.queue = Some(AggregateQueue::new(new, Arrival::New));
                self.ready = Some(new.id);
            }
        }
    }

    fn run(&mut self, transition: impl FnOnce(&mut AggregateQueue) -> Effects) {
        let Some(queue) = &mut self.queue else {
            return;
        };
        let Effects { ready, next, .. } = transition(queue);
        if let Some(event) = ready {
            assert_eq!((self.ready, self.in_flight, self.failed), (None, None, None));
            assert_eq!(event.id, self.last_confirmed + 1, "another event comes next");
            self.ready = Some(event.id);
        }
        if next == Next::Remove {
            let is_left = self.last_confirmed < self.last_id;
            assert!(!is_left || self.held_back_behind.is_some(), "events are forgotten");
            self.queue = None;
        }
    }
}

proptest! {
    #[test]
    fn events_are_ready_one_at_a_time_and_in_their_order(
        steps in prop::collection::vec((prop::sample::select(&STEPS[..]), 1..90_u8), 1..300),
    ) {
        let mut model = Model::default();
        for (step, times) in steps {
            // Many may arrive at once.
            let times = if matches!(step, Step::Arrive) { times } else { 1 };
            (0..times).for_each(|_| model.step(step));
        }
        while model.last_confirmed < model.last_id {
            let before = model.last_confirmed;
            for step in [Step::Settle, Step::Retry, Step::Refill, Step::Take, Step::Confirm] {
                model.step(step);
            }
            prop_assert!(model.last_confirmed > before, "it does not go on: {model:?}");
        }
    }
}

/// The queue of an aggregate whose event 2 failed, was sent again and is confirmed, as is event 1,
/// which appeared late.
fn after_a_retry_and_a_late_event() -> AggregateQueue {
    let mut queue = AggregateQueue::new(event(2), Arrival::Retry);
    queue.take(2);
    assert!(queue.arrive(event(1), Arrival::New).0);
    assert_eq!(queue.confirmed(2, None).ready, Some(event(1)));
    queue.take(1);
    queue.confirmed(1, None);
    queue
}

#[test]
fn nothing_is_read_behind_a_retry_before_its_row_says_so_whatever_else_can_not_be_settled() {
    let mut queue = after_a_retry_and_a_late_event();
    assert_eq!(queue.needs_refill(), Refill::Later);
    queue.settle_blocked(1);
    assert_eq!(queue.needs_refill(), Refill::NotNeeded);
    assert_eq!(queue.unblocked(1, None).next, Next::Refill);
    assert_eq!(queue.needs_refill(), Refill::Later, "the table still holds back event 3");
    queue.settled(2, None);
    assert_eq!(queue.needs_refill(), Refill::Above(i64::MIN));
}

#[test]
fn a_retry_that_is_withdrawn_or_fails_again_is_not_waited_for() {
    let mut withdrawn = AggregateQueue::new(event(2), Arrival::Retry);
    assert_eq!(withdrawn.settle_blocked(1).withdrawn, Some(2));
    let mut lost = AggregateQueue::new(event(2), Arrival::Retry);
    lost.take(2);
    lost.lost(event(2), Some(1));
    let mut failed = AggregateQueue::new(event(2), Arrival::Retry);
    failed.take(2);
    failed.failed();
    failed.settled(2, Some(1));
    for mut queue in [withdrawn, lost, failed] {
        queue.unblocked(1, None);
        assert_eq!(queue.needs_refill(), Refill::Above(i64::MIN));
    }
}

/// In a lane that came back: another relay skipped event 9 as stuck, published event 18, and ended
/// before it could note either in its row.
#[test]
fn an_event_that_is_found_before_an_unsettled_or_a_failed_one_is_read_when_nothing_is_waited_for() {
    let mut aggregate = AggregateQueue::unsettled(18);
    assert!(
        !aggregate.arrive(event(9), Arrival::New).0 && !aggregate.arrive(event(7), Arrival::New).0
    );
    assert_eq!(aggregate.unblocked(18, None).next, Next::Refill);
    assert_eq!(aggregate.needs_refill(), Refill::Above(i64::MIN));

    let mut aggregate = AggregateQueue::new(event(18), Arrival::New);
    aggregate.take(18);
    aggregate.failed();
    assert!(!aggregate.arrive(event(9), Arrival::New).0);
    assert_eq!(aggregate.settled(18, None).next, Next::Refill);
    assert_eq!(aggregate.needs_refill(), Refill::Above(i64::MIN));

    // Without such an event the aggregate is done: the table holds back what is behind.
    let mut aggregate = AggregateQueue::new(event(18), Arrival::New);
    aggregate.take(18);
    aggregate.failed();
    assert!(!aggregate.arrive(event(30), Arrival::New).0);
    assert_eq!(aggregate.settled(18, None).next, Next::Remove);
}

/// Event 18, which was scheduled, is in flight, and went ahead of 7 and 9, which were held back until
/// a moment before.
fn with_one_that_went_ahead() -> AggregateQueue {
    let mut aggregate = AggregateQueue::new(event(18), Arrival::New);
    aggregate.take(18);
    assert!(aggregate.arrive(event(7), Arrival::New).0);
    assert!(aggregate.arrive(event(9), Arrival::New).0);
    aggregate
}

#[test]
fn events_that_another_one_went_ahead_of_are_read_when_it_fails_or_can_not_be_settled() {
    let mut failed = with_one_that_went_ahead();
    failed.failed();
    assert_eq!(failed.settled(18, None).next, Next::Refill);
    assert_eq!(failed.needs_refill(), Refill::Above(i64::MIN));

    let mut ready = with_one_that_went_ahead();
    assert_eq!(ready.confirmed(18, None).ready, Some(event(7)));
    assert_eq!(ready.settle_blocked(18).withdrawn, Some(7));

    let mut lost = with_one_that_went_ahead();
    lost.confirmed(18, None);
    lost.take(7);
    lost.settle_blocked(18);
    lost.lost(event(7), Some(18));

    for mut aggregate in [ready, lost] {
        assert_eq!(aggregate.unblocked(18, None).next, Next::Refill);
        assert_eq!(aggregate.needs_refill(), Refill::Above(i64::MIN));
    }
}

#[test]
fn events_that_another_one_went_ahead_of_wait_for_it_while_a_third_one_can_not_be_settled() {
    let mut aggregate = with_one_that_went_ahead();
    assert!(aggregate.arrive(event(30), Arrival::New).0);
    assert_eq!(aggregate.settle_blocked(3).forgotten, [event(30)], "it is read again");
    aggregate.unblocked(3, None);
    assert_eq!(aggregate.needs_refill(), Refill::Above(9));
    assert_eq!(aggregate.confirmed(18, None).ready, Some(event(7)));
}

//! The ordering rule against a model of one aggregate.

use proptest::prelude::*;

use super::*;

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
                    let found = (id + 1..=self.last_id).take(CAPACITY).map(event).collect();
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

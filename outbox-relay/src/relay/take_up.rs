//! What the relay makes of what has ended since its last turn: windows that are published, outcomes that are noted.

use tokio::task::JoinError;

use super::{Done, Relay};
use crate::config::WhenStuck;
use crate::database::DatabaseError;
use crate::lanes::lane;
use crate::measure;
use crate::publish::Published;
use crate::queue::Place;
use crate::report;
use crate::settle::{Failed, Settled};
use crate::verdict::Verdict;
use crate::window::Loss;

impl Relay {
    /// Takes up what has ended meanwhile. Says whether the outcome of events was noted.
    pub(super) fn take_up(&mut self) -> bool {
        let mut settled = false;
        while let Some(done) = self.tasks.try_join_next() {
            settled |= self.take_up_one(done);
        }
        settled
    }

    pub(super) fn take_up_one(&mut self, done: Result<Done, JoinError>) -> bool {
        match done {
            Ok(Done::Published(published)) => {
                self.published(published);
                false
            }
            Ok(Done::Settled(settled)) => self.settled(settled),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn published(&mut self, published: Published) {
        let Published { publisher, events, verdicts, unsent, lost } = published;
        measure::decided(&events, &verdicts);
        self.flight.ended(&events, &verdicts, lost.as_ref());
        if let (Some(last), false) = (events.last(), unsent.is_empty()) {
            for event in &unsent {
                self.flight.landed(event);
            }
            let unsent: Vec<Place> = unsent.iter().map(|event| event.place).collect();
            let kept = self.lanes.open().has(lane(last.place.key));
            self.queue.broke_off(&last.place, &unsent, kept);
        }
        for (event, verdict) in events.iter().zip(&verdicts) {
            self.flight.landed(event);
            match verdict {
                Verdict::Published => {
                    self.queue.published(&event.place);
                    self.settling.waiting().published(event);
                }
                Verdict::Failed(..) | Verdict::Impossible(_) => {
                    let args = &self.config.relay;
                    let failed = self.settling.waiting().failed(event, verdict, args);
                    report::failed(event, verdict, failed);
                    let skips = args.relay_when_stuck == WhenStuck::Skip;
                    if failed == Failed::Stuck && skips {
                        self.queue.published(&event.place);
                    } else {
                        self.queue.failed(&event.place);
                    }
                    // What waits behind it may wait for long, and be changed by people meanwhile.
                    self.flight.forget_ahead();
                }
                Verdict::Unknown if self.lanes.open().has(lane(event.place.key)) => {
                    self.queue.put_back(event.place);
                }
                Verdict::Unknown => self.queue.let_go(&event.place),
            }
        }
        // What ends after the connection was lost says nothing of the one that has taken its place.
        let Some(broker) = self.broker.get().filter(|broker| broker.owns(&publisher)) else {
            return;
        };
        match lost {
            // That it can be connected to again proves nothing.
            Some(Loss::Unconfirmed(reason)) => self.broker.failed(&reason),
            Some(loss) => self.broker.lost(loss.reason()),
            None => {
                broker.give_back(publisher);
                self.broker.works();
            }
        }
    }

    /// Says whether the outcome of events was noted.
    fn settled(&mut self, mut settled: Settled) -> bool {
        self.settling.ended(&mut settled);
        for place in &settled.places {
            self.queue.settled(place);
        }
        if settled.freed {
            self.lookout.start_over();
        }
        match settled.result {
            Ok(()) => (),
            // The session is as good as any other. What it did not note is not sent again meanwhile.
            Err(error @ DatabaseError::Unmoved) => self.database.hindered(&error.to_string()),
            Err(error) => self.lose_database(&error.to_string()),
        }
        !settled.places.is_empty()
    }
}

//! What the relay makes of what has ended since its last turn: windows that are published, outcomes that are noted.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinError;

use super::{Done, Relay};
use crate::database::{DatabaseError, SettleSession};
use crate::lanes::lane;
use crate::measure;
use crate::publish::Published;
use crate::queue::Place;
use crate::report;
use crate::settle::Settled;
use crate::settlement::Failed;
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
            Ok(Done::SettledAgain(settled)) => self.settled_again(settled),
            Ok(Done::SettleSession(session)) => {
                self.reopened(session);
                false
            }
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn published(&mut self, published: Published) {
        let Published { publisher, events, verdicts, unsent, lost } = published;
        let now = Instant::now();
        measure::decided(&events, &verdicts);
        self.dispatcher.sent.ended(&events, &verdicts, &unsent);
        self.dispatcher.ended(&events, &verdicts, lost.as_ref());
        if let (Some(last), false) = (events.last(), unsent.is_empty()) {
            for event in &unsent {
                self.dispatcher.landed(event);
            }
            let unsent: Vec<Place> = unsent.iter().map(|event| event.place).collect();
            let kept = self.lanes.open().has(lane(last.place.key));
            self.queue.broke_off(&last.place, &unsent, kept);
        }
        for (event, verdict) in events.iter().zip(&verdicts) {
            self.dispatcher.landed(event);
            match verdict {
                Verdict::Published => {
                    self.queue.published(&event.place);
                    self.settling.waiting(now).published(event);
                }
                Verdict::Failed(..) | Verdict::Impossible(_) => {
                    let args = &self.config.relay;
                    let failed = self.settling.waiting(now).failed(event, verdict, args);
                    report::failed(event, verdict, failed);
                    if failed == Failed::Stuck && !self.config.stuck_holds() {
                        self.queue.published(&event.place);
                    } else {
                        self.queue.failed(&event.place);
                    }
                    // What waits behind it may wait for long, and be changed by people meanwhile.
                    self.dispatcher.forget_ahead();
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
        self.dispatcher.sent.settled(&settled.places);
        for place in &settled.places {
            self.queue.settled(place);
        }
        for one in &settled.unsettled {
            let place = &one.item.place;
            match &one.item.failure {
                Some(failure) if failure.retry_in.is_some() || self.config.stuck_holds() => {
                    self.queue.set_failed_aside(place);
                }
                // Whoever owns its lane by now leaves it alone, by the note on it.
                _ if !self.lanes.open().has(lane(place.key)) => self.queue.settled(place),
                _ => self.queue.set_aside(place),
            }
        }
        report::unsettled(&settled.unsettled);
        self.settling.unsettled.add(std::mem::take(&mut settled.unsettled), Instant::now());
        self.settling.unsettled.keep(self.lanes.open());
        self.ended(settled)
    }

    /// Says whether the outcome of events was noted.
    fn settled_again(&mut self, mut settled: Settled) -> bool {
        self.dispatcher.sent.settled(&settled.places);
        for place in &settled.places {
            self.queue.released(place);
        }
        let mut unsettled = std::mem::take(&mut settled.unsettled);
        // What was not tried waits as it was.
        unsettled.append(&mut settled.untried);
        self.settling.unsettled.tried(unsettled, Instant::now());
        // The lanes may have gone to another relay meanwhile.
        let open = self.lanes.open();
        self.settling.unsettled.keep(open);
        self.ended(settled)
    }

    fn ended(&mut self, mut settled: Settled) -> bool {
        self.settling.ended(&mut settled, Instant::now());
        if settled.freed {
            self.scanner.start_over(Instant::now());
        }
        match settled.result {
            Ok(()) => self.reopening.reset(),
            // The session is as good as any other. What it did not note is not sent again meanwhile.
            Err(error @ DatabaseError::CannotSettle(_)) => {
                self.database.hindered(&error.to_string());
            }
            Err(error) => {
                // The lanes are the other session's, and what waits is noted by the next one.
                tracing::warn!(%error, "the session that notes outcomes is lost: opening another");
                if let Some(database) = self.database.get() {
                    database.settle.session.give_up();
                }
            }
        }
        !settled.places.is_empty()
    }

    fn reopened(&mut self, session: Result<SettleSession, DatabaseError>) {
        self.is_reopening = false;
        match (session, self.database.get()) {
            (Ok(session), Some(database)) => database.settle = Arc::new(session),
            (Ok(_), None) => (),
            (Err(error), _) => {
                tracing::warn!(%error, "no session could be opened that notes outcomes: trying again");
            }
        }
    }
}

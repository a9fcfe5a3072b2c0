//! What the relay knows and decides, without its connections: which rows to read, what may be sent, what to
//! note. It takes the clock and what database and broker answered, so that a test can simulate both.

use std::time::Instant;

use crate::config::RelayArgs;
use crate::database::queries::Holding;
use crate::lanes::{LaneSet, Lanes, lane};
use crate::metrics;
use crate::poll::Scanner;
use crate::publish::dispatcher::Dispatcher;
use crate::publish::event::Event;
use crate::publish::verdict::Verdict;
use crate::publish::window::Loss;
use crate::queue::{Place, Queue};
use crate::report;
use crate::settle::Settled;
use crate::settle::batch::Failed;
use crate::settle::schedule::Settling;
use crate::settle::unsettled::Unsettled;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Engine {
    args: RelayArgs,
    pub(crate) holding: Holding,
    /// The lanes that the session owns. The loop takes and releases them.
    pub(crate) lanes: Lanes,
    /// Which rows to read next. The loop reads them.
    pub(crate) scanner: Scanner,
    /// The pending events that were read: which may be sent, and which wait.
    pub(crate) queue: Queue,
    /// What is sent next and what is in flight. The loop loads and sends it.
    pub(crate) dispatcher: Dispatcher,
    /// The outcomes that are to be noted. The loop runs the statements.
    pub(crate) settling: Settling,
    /// The session is new, and outcomes of an earlier one are yet to be noted.
    is_catching_up: bool,
}

impl Engine {
    pub(crate) fn new(args: &RelayArgs, holding: Holding, now: Instant) -> Self {
        Self {
            args: args.clone(),
            holding,
            lanes: Lanes::default(),
            scanner: Scanner::new(args, now),
            queue: Queue::new(holding.ordered),
            dispatcher: Dispatcher::new(args, now),
            settling: Settling::new(now),
            is_catching_up: false,
        }
    }

    /// The session took lanes. `unsettled`: the events of theirs that are noted as published, which must not be sent again.
    pub(crate) fn took_lanes(&mut self, taken: LaneSet, unsettled: Vec<Unsettled>, now: Instant) {
        self.queue.resume(taken);
        self.settling.unsettled.add_noted(unsettled, now);
        self.hold_unsettled(taken);
        self.scanner.start_over(now);
    }

    /// Forgets what is not in flight of the lanes that are offered to other relays.
    pub(crate) fn offered_lanes(&mut self) {
        self.keep_lanes(self.lanes.open());
        self.dispatcher.forget_ahead();
    }

    /// The broker can't be reached: all lanes go to other relays.
    pub(crate) fn lost_broker(&mut self, now: Instant) {
        self.keep_lanes(LaneSet::default());
        self.dispatcher.forget_ahead();
        self.scanner.forget(now);
    }

    /// The session is gone, and the lanes with it. What is in flight may still be settled.
    pub(crate) fn lost_session(&mut self, now: Instant) {
        self.lanes = Lanes::default();
        self.lost_broker(now);
        self.leave_to_owners();
        self.is_catching_up = true;
    }

    /// Leaves events that hold back others, and whose outcome is not noted yet, to the relays that own their lanes by now.
    fn leave_to_owners(&mut self) {
        let (waiting, unsettled) = self.settling.leave_to_owners(self.lanes.owned());
        for place in &waiting {
            self.queue.settled(place);
        }
        for place in &unsettled {
            self.queue.released(place);
        }
    }

    /// Forgets what is not in flight of the lanes that are not among `kept`.
    fn keep_lanes(&mut self, kept: LaneSet) {
        self.queue.keep(kept);
        self.settling.unsettled.keep(kept);
    }

    /// A scan was given up. The session and its lanes are as good as before; what was to be read is read anew.
    pub(crate) fn gave_up_scanning(&mut self, now: Instant) {
        self.queue.keep(LaneSet::default());
        self.queue.resume(self.lanes.open());
        self.hold_unsettled(self.lanes.open());
        self.dispatcher.forget_ahead();
        self.scanner.forget(now);
    }

    /// The table holds other rows under the same ids.
    pub(crate) fn table_was_replaced(&mut self, now: Instant) {
        self.dispatcher.forget_ahead();
        // Their rows may be the same in another file, or gone.
        self.hold_unsettled(self.lanes.open());
        self.settling.unsettled.hurry(now);
    }

    /// Has the aggregates of `lanes` wait for those of their events that can't be settled.
    fn hold_unsettled(&mut self, lanes: LaneSet) {
        for place in self.settling.unsettled.held(lanes, self.holding.stuck_holds) {
            self.queue.hold(&place);
        }
    }

    /// Whether outcomes of an earlier session are yet to be noted. Nothing is sent before: it might be what they are about.
    pub(crate) fn is_catching_up(&mut self) -> bool {
        self.is_catching_up &= !self.settling.is_done();
        self.is_catching_up
    }

    /// Whether nothing is left to be sent, awaited or noted.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.settling.is_done()
    }

    /// The sweep has found these pending events.
    pub(crate) fn suspect(&mut self, places: &[Place]) {
        self.scanner.suspect(places, self.lanes.open(), &self.queue);
    }

    /// A window has ended, with one verdict for each of `events`. `unsent`: what was to follow the last of them, and was not sent;
    /// `lost`: why the broker can't be used any more.
    pub(crate) fn published(
        &mut self,
        events: &[Event],
        verdicts: &[Verdict],
        unsent: &[Event],
        lost: Option<&Loss>,
        now: Instant,
    ) {
        metrics::decided(events, verdicts);
        self.dispatcher.sent.ended(events, verdicts, unsent);
        self.dispatcher.ended(events, verdicts, lost);
        let (open, owned) = (self.lanes.open(), self.lanes.owned());
        if let (Some(last), false) = (events.last(), unsent.is_empty()) {
            for event in unsent {
                self.dispatcher.landed(event);
            }
            let unsent: Vec<Place> = unsent.iter().map(|event| event.place).collect();
            self.queue.broke_off(&last.place, &unsent, open.has(lane(last.place.key)));
        }
        for (event, verdict) in events.iter().zip(verdicts) {
            self.dispatcher.landed(event);
            let holds_back = event.attempts > 0 || !matches!(verdict, Verdict::Published);
            if holds_back && !owned.has(lane(event.place.key)) {
                // Its outcome is left to the owner, as by `leave_to_owners`.
                self.queue.let_go(&event.place);
                continue;
            }
            match verdict {
                Verdict::Published => {
                    self.queue.published(&event.place);
                    self.settling.waiting(now).published(event);
                }
                Verdict::Failed(..) | Verdict::Impossible(_) => self.failed(event, verdict, now),
                Verdict::Unknown if open.has(lane(event.place.key)) => {
                    self.queue.put_back(event.place);
                }
                Verdict::Unknown => self.queue.let_go(&event.place),
            }
        }
    }

    fn failed(&mut self, event: &Event, verdict: &Verdict, now: Instant) {
        let failed = self.settling.waiting(now).failed(event, verdict, &self.args);
        report::failed(event, verdict, failed);
        if failed == Failed::Stuck && !self.holding.stuck_holds {
            self.queue.published(&event.place);
        } else {
            self.queue.failed(&event.place);
        }
        // What waits behind it may wait for long, and be changed by people meanwhile.
        self.dispatcher.forget_ahead();
    }

    /// Outcomes were noted, or not.
    pub(crate) fn settled(&mut self, settled: &mut Settled, now: Instant) {
        self.dispatcher.sent.settled(&settled.places);
        for place in &settled.places {
            self.queue.settled(place);
        }
        let open = self.lanes.open();
        for one in &settled.unsettled {
            let place = &one.item.place;
            match &one.item.failure {
                Some(failure) if failure.retry_in.is_some() || self.holding.stuck_holds => {
                    self.queue.set_failed_aside(place);
                }
                // Whoever owns its lane by now leaves it alone, by the note on it.
                _ if !open.has(lane(place.key)) => self.queue.settled(place),
                _ => self.queue.set_aside(place),
            }
        }
        report::unsettled(&settled.unsettled);
        self.settling.unsettled.add(std::mem::take(&mut settled.unsettled), now);
        self.ended(settled, now);
    }

    /// The same of events that could not be settled before.
    pub(crate) fn settled_again(&mut self, settled: &mut Settled, now: Instant) {
        self.dispatcher.sent.settled(&settled.places);
        for place in &settled.places {
            self.queue.released(place);
        }
        let mut unsettled = std::mem::take(&mut settled.unsettled);
        // What was not tried waits as it was.
        unsettled.append(&mut settled.untried);
        self.settling.unsettled.tried(unsettled, now);
        self.ended(settled, now);
    }

    fn ended(&mut self, settled: &mut Settled, now: Instant) {
        // The lanes may have gone to another relay meanwhile.
        self.settling.unsettled.keep(self.lanes.open());
        self.settling.ended(settled, now);
        self.leave_to_owners();
        if settled.freed {
            self.scanner.start_over(now);
        }
    }
}

#[cfg(test)]
mod simulation;

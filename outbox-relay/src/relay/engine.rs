//! What the relay knows and decides, without its connections: which rows to read, what may be sent,
//! what to settle. It takes the clock and the answers of database and broker, so that a test can
//! simulate both.

mod log;
mod pauses;

use std::time::Instant;

use crate::config::RelayArgs;
use crate::database::queries::BlockingPolicy;
use crate::lanes::{LaneSet, Lanes, lane};
use crate::metrics;
use crate::pauses::PauseSet;
use crate::poll::Scanner;
use crate::publish::dispatcher::Dispatcher;
use crate::publish::event::Event;
use crate::publish::verdict::Verdict;
use crate::publish::window::Loss;
use crate::queue::{EventRef, Queue};
use crate::settle::SettleResult;
use crate::settle::schedule::SettleScheduler;
use crate::settle::unsettled::UnsettledEvent;
use log::{log_failure, log_unsettled};
use pauses::PausedScans;

/// Which outcomes the next scan waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AwaitedOutcomes {
    None,
    /// The outcomes that were known when the server gave up a scan, or the table was rewritten.
    New,
    /// The outcomes of events of a lost session, including retries of unsettled events.
    OfLostSession,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Engine {
    args: RelayArgs,
    /// Which failed events hold back those behind them.
    pub(crate) policy: BlockingPolicy,
    /// The lanes that the session owns. The loop takes and releases them.
    pub(crate) lanes: Lanes,
    /// Which rows to read next. The loop reads them.
    pub(crate) scanner: Scanner,
    /// The pending events that were read: which may be sent, and which wait.
    pub(crate) queue: Queue,
    /// What is sent next and what is in flight. The loop loads and sends it.
    pub(crate) dispatcher: Dispatcher,
    /// The outcomes that are to be written. The loop runs the statements.
    pub(crate) settling: SettleScheduler,
    /// The outcomes that are to be written before the next scan, as the queue has forgotten their
    /// events.
    awaited: AwaitedOutcomes,
    /// What is not to be published for now.
    pauses: PauseSet,
    /// When to scan for paused events again.
    paused_scans: PausedScans,
}

impl Engine {
    pub(crate) fn new(args: &RelayArgs, policy: BlockingPolicy, now: Instant) -> Self {
        Self {
            args: args.clone(),
            policy,
            lanes: Lanes::default(),
            scanner: Scanner::new(args, now),
            queue: Queue::new(policy.ordered),
            dispatcher: Dispatcher::new(args, now),
            settling: SettleScheduler::new(now),
            awaited: AwaitedOutcomes::None,
            pauses: PauseSet::default(),
            paused_scans: PausedScans::default(),
        }
    }

    /// The session took lanes. `unsettled` are their events in `outbox_unsettled`, which must not
    /// be sent again.
    pub(crate) fn lanes_taken(
        &mut self,
        taken: LaneSet,
        unsettled: Vec<UnsettledEvent>,
        now: Instant,
    ) {
        self.queue.lanes_taken(taken);
        self.settling.unsettled.add_noted(unsettled, now);
        self.block_on_unsettled(taken);
        self.scanner.start_over(now);
        self.scan_paused_again(now);
    }

    /// Forgets what is not in flight of the lanes that are offered to other relays.
    pub(crate) fn lanes_offered(&mut self) {
        self.retain_lanes(self.lanes.open());
        self.dispatcher.clear_prefetched();
    }

    /// The broker can't be reached: all lanes go to other relays.
    pub(crate) fn broker_lost(&mut self, now: Instant) {
        self.retain_lanes(LaneSet::default());
        self.dispatcher.clear_prefetched();
        self.scanner.forget(now);
    }

    /// The session is gone, and the lanes with it. What is in flight may still be settled.
    pub(crate) fn session_lost(&mut self, now: Instant) {
        self.lanes = Lanes::default();
        self.dispatcher.sent.session_lost();
        self.broker_lost(now);
        self.leave_to_owners();
        self.awaited = AwaitedOutcomes::OfLostSession;
    }

    /// Leaves events that hold back others, and are not settled yet, to the relays that own their
    /// lanes by now.
    fn leave_to_owners(&mut self) {
        let (waiting, unsettled) = self.settling.leave_to_owners(self.lanes.owned());
        self.dispatcher.sent.settled(&[waiting.as_slice(), &unsettled].concat());
        for event_ref in &waiting {
            self.queue.settled(event_ref);
        }
        for event_ref in &unsettled {
            self.queue.unblocked(event_ref);
        }
    }

    /// Forgets what is not in flight of the lanes that are not among `kept`.
    fn retain_lanes(&mut self, kept: LaneSet) {
        self.queue.retain_lanes(kept);
        self.leave_noted(kept);
    }

    /// Leaves noted events of other lanes than `kept` to the relays that own these.
    fn leave_noted(&mut self, kept: LaneSet) {
        self.dispatcher.sent.settled(&self.settling.unsettled.retain_lanes(kept));
    }

    /// The server gave up a scan: all scans start over. The session and its lanes stay.
    pub(crate) fn scan_failed(&mut self, now: Instant) {
        self.scans_broken_off(now);
        self.scanner.scan_failed(now);
    }

    /// Forgets what is not in flight, and starts all scans over.
    fn scans_broken_off(&mut self, now: Instant) {
        self.queue.retain_lanes(LaneSet::default());
        self.queue.lanes_taken(self.lanes.open());
        self.block_on_unsettled(self.lanes.open());
        self.dispatcher.clear_prefetched();
        self.scanner.forget(now);
        self.await_new_outcomes();
    }

    /// The table holds other rows under the same ids.
    pub(crate) fn table_replaced(&mut self, now: Instant) {
        self.dispatcher.clear_prefetched();
        // Their rows may be the same in another file, or gone.
        self.block_on_unsettled(self.lanes.open());
        self.settling.unsettled.retry_now(now);
        self.await_new_outcomes();
    }

    /// The next scan waits for the outcomes that are known. Events that can't be settled hold back
    /// those behind them without that: nobody else waits for them.
    fn await_new_outcomes(&mut self) {
        self.awaited = self.awaited.max(AwaitedOutcomes::New);
    }

    /// Makes the aggregates of `lanes` wait for those of their events that can't be settled.
    fn block_on_unsettled(&mut self, lanes: LaneSet) {
        for event_ref in self.settling.unsettled.blocking(lanes, self.policy) {
            self.queue.add_unsettled(&event_ref);
        }
    }

    /// Returns the outcomes of forgotten events that are yet to be written. Nothing is scanned or
    /// sent before: it might be the same events, and those behind the success of a retry are held
    /// back by the table until then.
    pub(crate) fn awaited_outcomes(&mut self) -> AwaitedOutcomes {
        let is_done = match self.awaited {
            AwaitedOutcomes::None => true,
            AwaitedOutcomes::New => self.settling.is_new_done(),
            AwaitedOutcomes::OfLostSession => self.settling.is_done(),
        };
        if is_done {
            self.awaited = AwaitedOutcomes::None;
        }
        self.awaited
    }

    /// Whether nothing is left to be sent, awaited or settled.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.settling.is_done()
    }

    /// The sweep has found these pending events; some may have been overlooked.
    pub(crate) fn add_suspects(&mut self, event_refs: &[EventRef]) {
        self.scanner.add_suspects(event_refs, self.lanes.open(), &self.queue);
    }

    /// A window or run has ended, with one verdict for each of `events`. `unsent` are the events of
    /// a run that were not sent; `lost` says why the connection can't be used any more, if so.
    pub(crate) fn window_completed(
        &mut self,
        events: &[Event],
        verdicts: &[Verdict],
        unsent: &[Event],
        lost: Option<&Loss>,
        now: Instant,
    ) {
        metrics::record_outcomes(events, verdicts);
        self.dispatcher.window_ended(events, verdicts, unsent, lost);
        let (open, owned) = (self.lanes.open(), self.lanes.owned());
        if let (Some(last), false) = (events.last(), unsent.is_empty()) {
            self.run_interrupted(&last.event_ref, unsent, open, now);
        }
        for (event, verdict) in events.iter().zip(verdicts) {
            let holds_back = event.attempts > 0 || !matches!(verdict, Verdict::Published);
            if holds_back && !owned.has(lane(event.event_ref.key)) {
                // Its outcome is left to the owner, as by `leave_to_owners`.
                self.queue.release(&event.event_ref);
                self.dispatcher.sent.settled(&[event.event_ref]);
                continue;
            }
            match verdict {
                Verdict::Published => {
                    self.queue.confirmed(&event.event_ref);
                    self.settling.waiting_mut(now).published(event);
                }
                Verdict::Failed(..) | Verdict::Unpublishable(_) => self.failed(event, verdict, now),
                Verdict::Unknown if !open.has(lane(event.event_ref.key)) => {
                    self.queue.release(&event.event_ref);
                }
                Verdict::Unknown if self.pauses.has(event) => self.taken_while_paused(event, now),
                Verdict::Unknown => self.queue.put_back(event.event_ref),
            }
        }
    }

    fn failed(&mut self, event: &Event, verdict: &Verdict, now: Instant) {
        let disposition = self.settling.waiting_mut(now).failed(event, verdict, &self.args);
        log_failure(event, verdict, disposition);
        if self.policy.holds_back(disposition) {
            self.queue.failed(&event.event_ref);
        } else {
            self.queue.confirmed(&event.event_ref);
        }
        // Those behind it may wait for long, and people may change them meanwhile.
        self.dispatcher.clear_prefetched();
    }

    /// A statement that settles new outcomes has ended.
    pub(crate) fn settled(&mut self, settled: &mut SettleResult, now: Instant) {
        self.dispatcher.sent.settled(&settled.event_refs);
        for event_ref in &settled.event_refs {
            self.queue.settled(event_ref);
        }
        let open = self.lanes.open();
        for event in &settled.unsettled {
            let event_ref = &event.item.event_ref;
            match &event.item.failure {
                Some(failure) if self.policy.holds_back(failure.disposition()) => {
                    self.queue.failure_settle_blocked(event_ref);
                }
                // The new owner of its lane finds it in `outbox_unsettled`.
                _ if !open.has(lane(event_ref.key)) => self.queue.settled(event_ref),
                _ => self.queue.settle_blocked(event_ref),
            }
        }
        log_unsettled(&settled.unsettled);
        self.settling.unsettled.add(std::mem::take(&mut settled.unsettled), now);
        self.ended(settled, now);
    }

    /// A statement that settles events again has ended.
    pub(crate) fn retry_settled(&mut self, settled: &mut SettleResult, now: Instant) {
        self.dispatcher.sent.settled(&settled.event_refs);
        for event_ref in &settled.event_refs {
            self.queue.unblocked(event_ref);
        }
        let mut unsettled = std::mem::take(&mut settled.unsettled);
        // What was not tried goes on waiting.
        unsettled.append(&mut settled.untried_retries);
        self.settling.unsettled.retried(unsettled, now);
        self.ended(settled, now);
    }

    fn ended(&mut self, settled: &mut SettleResult, now: Instant) {
        // The lanes may have gone to another relay since.
        self.leave_noted(self.lanes.open());
        self.settling.ended(settled, now);
        self.leave_to_owners();
        if settled.freed {
            self.scanner.start_over(now);
        }
    }
}

#[cfg(test)]
mod simulation;

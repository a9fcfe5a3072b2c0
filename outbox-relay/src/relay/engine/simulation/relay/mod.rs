//! A relay of the simulation: an engine, and the connections around it as a model.

mod settle;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::delivered::Fate;
use super::table::Table;
use crate::config::RelayArgs;
use crate::database::queries::BlockingPolicy;
use crate::lanes::{LaneSet, lane};
use crate::poll::ScanOutcome;
use crate::publish::dispatcher::{Dispatch, SendOrder};
use crate::publish::event::Event;
use crate::publish::verdict::{Refusal, Verdict};
use crate::publish::window::Loss;
use crate::relay::engine::Engine;
use crate::settle::schedule::SettleJob;

/// Messages that were sent together, or in a run.
#[derive(Debug)]
pub(super) struct InFlight {
    /// Those that were sent, with what the broker did with each.
    pub(super) sent: Vec<(Event, Fate)>,
    /// The rest of a run: each is sent when the one ahead is confirmed.
    behind: Vec<Event>,
    order: SendOrder,
    /// The session in which it began; once it is gone, nothing further of the run is sent.
    session: Option<i32>,
    begun: Instant,
}

/// A relay and its connections.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) engine: Engine,
    pub(super) session: Option<i32>,
    pub(super) has_broker: bool,
    channels: usize,
    pub(super) in_flight: Vec<InFlight>,
    /// The statement that settles, while it is under way.
    pub(super) settling: Option<(SettleJob, u64)>,
    audit: i64,
    /// Events that this relay knows to be published, with the attempts that failed before.
    known: HashMap<Uuid, u32>,
}

impl Relay {
    pub(super) fn new(args: &RelayArgs, policy: BlockingPolicy, slice: i64, now: Instant) -> Self {
        let mut engine = Engine::new(args, policy, now);
        engine.scanner.set_slice(slice);
        Self {
            engine,
            session: None,
            has_broker: true,
            channels: usize::try_from(args.relay_channels).unwrap_or(usize::MAX),
            in_flight: Vec::new(),
            settling: None,
            audit: 0,
            known: HashMap::new(),
        }
    }

    /// Events whose outcome this relay alone knows, or will know: when it ends now, they may be
    /// sent again. What is in `outbox_unsettled` is known to all.
    pub(super) fn events_in_doubt(&self, table: &Table) -> Vec<Uuid> {
        let sent = self.in_flight.iter().flat_map(|one| &one.sent).map(|(event, _)| event.event_id);
        let known = self.known.keys().copied().filter(|event_id| !table.is_noted(*event_id));
        sent.chain(known).collect()
    }

    /// Whether nothing is in flight, and nothing is to be settled.
    pub(super) fn is_quiet(&self) -> bool {
        self.in_flight.is_empty() && self.engine.settling.is_done()
    }

    pub(super) fn lose_session(&mut self, table: &mut Table, now: Instant) {
        if let Some(pid) = self.session.take() {
            table.end_session(pid);
            self.engine.session_lost(now);
            // Such an event is left to the next owner of its lane.
            self.known.retain(|_, attempts| *attempts == 0);
        }
    }

    /// One tick of the relay, in the same order. `deliver` is called with each message that is
    /// sent, and returns what the broker does with it.
    pub(super) fn tick(
        &mut self,
        table: &mut Table,
        new_pid: i32,
        now: Instant,
        deliver: &mut impl FnMut(&Event, &Table) -> Fate,
    ) {
        let pid = *self.session.get_or_insert(new_pid);
        let is_in_flight = !self.in_flight.is_empty() || self.settling.is_some();
        if let Some(job) = self.engine.settling.next(is_in_flight, true, now) {
            assert!(self.settling.is_none(), "two statements settle at the same time");
            self.settling = Some((job, table.begin_settling()));
        }
        let busy = self.engine.queue.busy_lanes();
        if self.audit != table.audit {
            self.audit = table.audit;
            self.engine.dispatcher.clear_prefetched();
        }
        if !self.has_broker {
            self.engine.broker_lost(now);
            self.release_all(table, pid, busy);
            return;
        }
        self.share(table, pid, now);
        if self.engine.lanes.has_offered() {
            self.engine.lanes_offered();
            let idle = self.engine.lanes.idle(busy);
            table.release_lanes(idle);
            self.engine.lanes.released(idle);
        }
        let is_catching_up = self.engine.is_catching_up();
        let is_able = self.engine.settling.blocked_reason().is_none() && !is_catching_up;
        if self.engine.lanes.open().is_empty() || !is_able {
            return;
        }
        self.poll(table, now);
        self.send(table, now, deliver);
    }

    fn share(&mut self, table: &mut Table, pid: i32, now: Instant) {
        let lanes = &mut self.engine.lanes;
        if !lanes.is_list_due(now) {
            return;
        }
        if !lanes.is_member() {
            table.join(pid);
        }
        let members = table.members();
        assert_eq!(lanes.members_listed(Some(pid), &members, now), Ok(()), "it owns what it took");
        let wanted = lanes.rebalance(Some(pid), &members);
        let taken = table.take_lanes(pid, wanted);
        lanes.took(taken);
        if !taken.is_empty() {
            self.engine.lanes_taken(taken, table.load_noted(taken), now);
        }
    }

    fn release_all(&mut self, table: &mut Table, pid: i32, busy: LaneSet) {
        let lanes = &mut self.engine.lanes;
        lanes.offer_all();
        let idle = lanes.idle(busy);
        table.release_lanes(idle);
        lanes.released(idle);
        if table.owned(pid).is_empty() && lanes.leave() {
            table.leave(pid);
        }
    }

    fn poll(&mut self, table: &Table, now: Instant) {
        let lanes = self.engine.lanes.open();
        let Engine { scanner, queue, policy, .. } = &mut self.engine;
        while let Some(scan) = scanner.next_scan(queue, now) {
            let rows = table.scan(&scan, lanes, *policy, now);
            scanner.apply(&scan, rows, lanes, queue, now);
        }
        if scanner.outcome() == ScanOutcome::Replaced {
            self.engine.table_replaced(now);
        }
    }

    /// The sweep reports what it has found.
    pub(super) fn sweep(&mut self, table: &Table) {
        let (end, lanes) = (self.engine.scanner.low_watermark(), self.engine.lanes.open());
        let event_refs = table.sweep(end, lanes, self.engine.policy);
        self.engine.add_suspects(&event_refs);
    }

    fn send(
        &mut self,
        table: &Table,
        now: Instant,
        deliver: &mut impl FnMut(&Event, &Table) -> Fate,
    ) {
        while self.in_flight.len() < self.channels && self.engine.dispatcher.has_room() {
            let Engine { dispatcher, queue, .. } = &mut self.engine;
            let Some(window) = dispatcher.take_window(queue, now) else {
                break;
            };
            let loaded = table.load(&window.unloaded);
            let events = dispatcher.loaded(window, loaded, queue);
            if events.is_empty() {
                return;
            }
            let Dispatch { mut events, order } = dispatcher.start(events, queue);
            let behind = match order {
                SendOrder::Run => events.split_off(1),
                SendOrder::Window => Vec::new(),
            };
            for event in &events {
                self.is_new(event);
            }
            let sent = events.into_iter().map(|event| {
                let fate = deliver(&event, table);
                (event, fate)
            });
            let sent = sent.collect();
            let session = self.session;
            self.in_flight.push(InFlight { sent, behind, order, session, begun: now });
        }
        let Engine { dispatcher, queue, .. } = &mut self.engine;
        let event_refs = dispatcher.to_prefetch(queue);
        if !event_refs.is_empty() {
            dispatcher.set_prefetched(table.load(&event_refs).events, now);
        }
    }

    /// An event is sent again after its relay knew it to be published only if another relay has
    /// charged it with a failure since.
    fn is_new(&self, event: &Event) {
        let is_known = self.known.get(&event.event_id) == Some(&event.attempts);
        assert!(
            !is_known,
            "event {} is sent though its relay knows that it is published",
            event.event_ref.id
        );
    }

    /// The broker answers to what was sent last of a window: the next of a run is sent, or the
    /// window ends.
    pub(super) fn answered(
        &mut self,
        index: usize,
        table: &mut Table,
        now: Instant,
        deliver: &mut impl FnMut(&Event, &Table) -> Fate,
    ) {
        let owns = self.in_flight[index].session.is_some()
            && self.in_flight[index].session == self.session;
        let one = &mut self.in_flight[index];
        let is_taken = one.sent.last().is_some_and(|(_, fate)| *fate == Fate::Taken);
        let is_late = now.duration_since(one.begun) >= Duration::from_millis(50);
        if is_taken && owns && !is_late && self.has_broker && !one.behind.is_empty() {
            let next = one.behind.remove(0);
            self.is_new(&next);
            let fate = deliver(&next, table);
            self.in_flight[index].sent.push((next, fate));
            return;
        }
        self.end_window(index, None, table, now);
    }

    /// The connection is lost with all that is in flight.
    pub(super) fn lose_broker(&mut self, table: &mut Table, now: Instant) {
        self.has_broker = false;
        while !self.in_flight.is_empty() {
            let loss = Loss::Connection("the simulation closed it".to_owned());
            self.end_window(0, Some(loss), table, now);
        }
    }

    fn end_window(&mut self, index: usize, loss: Option<Loss>, table: &mut Table, now: Instant) {
        let InFlight { sent, behind, order, .. } = self.in_flight.remove(index);
        let is_unconfirmed = sent.iter().any(|(_, fate)| *fate == Fate::Unconfirmed);
        let loss =
            loss.or_else(|| is_unconfirmed.then(|| Loss::Unconfirmed("no confirm".to_owned())));
        let failed = |refusal| Verdict::Failed(refusal, "the simulation says so".to_owned());
        let refused = "the broker closed the channel: the simulation says so";
        let last = sent.len() - 1;
        let verdict = |(index, (_, fate)): (usize, &(Event, Fate))| match fate {
            // The confirms of all but the last of a run have come.
            Fate::Taken
                if matches!(loss, Some(Loss::Connection(_)))
                    && (order == SendOrder::Window || index == last) =>
            {
                Verdict::Unknown
            }
            Fate::Taken => Verdict::Published,
            Fate::Unconfirmed => Verdict::Unknown,
            Fate::Returned => failed(Refusal::Returned),
            Fate::Nacked => failed(Refusal::Nacked),
            Fate::Unacceptable => Verdict::Failed(Refusal::Unacceptable, refused.to_owned()),
        };
        let verdicts: Vec<Verdict> = sent.iter().enumerate().map(verdict).collect();
        let events: Vec<Event> = sent.into_iter().map(|(event, _)| event).collect();
        for (event, verdict) in events.iter().zip(&verdicts) {
            let is_own = self.engine.lanes.owned().has(lane(event.event_ref.key));
            if *verdict == Verdict::Published && (event.attempts == 0 || is_own) {
                self.known.insert(event.event_id, event.attempts);
            }
        }
        self.engine.window_completed(&events, &verdicts, &behind, loss.as_ref(), now);
        for item in &self.engine.settling.waiting_mut(now).failed {
            if item.failure.as_ref().is_some_and(|failure| failure.retry_in.is_none()) {
                table.gave_up(item);
            }
        }
    }
}

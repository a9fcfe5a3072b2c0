//! A relay of the simulation: an engine, and the connections around it as a model.

mod send;
mod settle;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::delivered::Fate;
use super::table::Table;
use crate::config::RelayArgs;
use crate::database::queries::BlockingPolicy;
use crate::lanes::LaneSet;
use crate::pauses::PauseSet;
use crate::poll::{Rows, Scan, ScanOutcome};
use crate::publish::event::Event;
use crate::queue::EventRef;
use crate::relay::engine::{AwaitedOutcomes, Engine};
use crate::settle::schedule::{LaneOwnership, SettleJob, SettleWhen};
pub(super) use send::InFlight;

/// What goes wrong in a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mishap {
    /// The server gives up a scan.
    ScanGivenUp,
    /// The session is lost while events are loaded.
    LoadFails,
    /// There is room for one of the events only.
    LoadDefers,
}

/// A relay and its connections.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) engine: Engine,
    pub(super) session: Option<i32>,
    /// The server has ended the session, and the relay has not noticed yet.
    pub(super) is_cut_off: bool,
    pub(super) has_broker: bool,
    /// How long a tick takes before its scans: they may be due later than the list of relays.
    pub(super) delay: Duration,
    /// What goes wrong in the next tick.
    pub(super) mishap: Option<Mishap>,
    channels: usize,
    pub(super) in_flight: Vec<InFlight>,
    /// The statement that settles, while it is under way.
    pub(super) settling: Option<(SettleJob, u64)>,
    audit: i64,
    /// Events that this relay knows to be published, with the attempts that failed before.
    known: HashMap<Uuid, u32>,
    /// The scheduled events that its last scan for due ones has found.
    known_due: Vec<EventRef>,
    /// Events that were sent, each with one of those that it went before.
    pub(super) overtaken: Vec<(Uuid, Uuid)>,
}

impl Relay {
    pub(super) fn new(args: &RelayArgs, policy: BlockingPolicy, slice: i64, now: Instant) -> Self {
        let mut engine = Engine::new(args, policy, now);
        engine.scanner.set_slice(slice);
        Self {
            engine,
            session: None,
            is_cut_off: false,
            has_broker: true,
            delay: Duration::ZERO,
            mishap: None,
            channels: usize::try_from(args.relay_channels).unwrap_or(usize::MAX),
            in_flight: Vec::new(),
            settling: None,
            audit: 0,
            known: HashMap::new(),
            known_due: Vec::new(),
            overtaken: Vec::new(),
        }
    }

    /// Events whose outcome this relay alone knows, or will know: when it ends now, they may be
    /// sent again. What is in `outbox_unsettled` is known to all.
    pub(super) fn events_in_doubt(&self, table: &Table) -> Vec<Uuid> {
        let sent = self.in_flight.iter().flat_map(InFlight::event_ids);
        let known = self.known.keys().copied().filter(|event_id| !table.is_noted(*event_id));
        sent.chain(known).collect()
    }

    /// Whether nothing is in flight, and nothing is to be settled.
    pub(super) fn is_quiet(&self) -> bool {
        self.in_flight.is_empty() && self.engine.settling.is_done()
    }

    /// Whether nothing is left to be sent, awaited, settled or remembered.
    pub(super) fn is_at_rest(&self, table: &Table) -> bool {
        let Engine { queue, settling, .. } = &self.engine;
        let is_settled = settling.unsettled.len() == 0 && queue.busy_lanes().is_empty();
        let tracks = |(id, key)| queue.tracks(&EventRef { id, key, size: 1 });
        let is_any_tracked = table.rows.iter().map(|(id, row)| (*id, row.key)).any(tracks);
        self.in_flight.is_empty() && self.engine.is_idle() && is_settled && !is_any_tracked
    }

    /// The server ends the session.
    pub(super) fn cut_off(&mut self, table: &mut Table) {
        if let Some(pid) = self.session {
            table.end_session(pid);
            self.is_cut_off = true;
        }
    }

    pub(super) fn lose_session(&mut self, table: &mut Table, now: Instant) {
        self.is_cut_off = false;
        if let Some(pid) = self.session.take() {
            table.end_session(pid);
            self.engine.session_lost(now);
            self.known_due.clear();
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
        clock: &mut Instant,
        deliver: &mut impl FnMut(&Event, &Table) -> Fate,
    ) {
        let now = *clock;
        let pid = *self.session.get_or_insert(new_pid);
        let is_idle = self.in_flight.is_empty() && self.settling.is_none();
        let when = if is_idle { SettleWhen::AtOnce } else { SettleWhen::Gathered };
        let ownership =
            if self.is_cut_off { LaneOwnership::Doubtful } else { LaneOwnership::Certain };
        if let Some(job) = self.engine.settling.next(when, ownership, now) {
            assert!(self.settling.is_none(), "two statements settle at the same time");
            self.settling = Some((job, table.begin_settling()));
        }
        if self.is_cut_off {
            self.lose_session(table, now);
            return;
        }
        let mishap = self.mishap.take();
        let busy = self.engine.queue.busy_lanes();
        let pauses = PauseSet::new(table.pauses.clone());
        if *self.engine.pauses() != pauses {
            self.engine.set_pauses(pauses, now);
            self.known_due.clear();
        }
        if self.audit != table.audit {
            self.audit = table.audit;
            self.engine.dispatcher.clear_prefetched();
        }
        if !self.has_broker {
            self.engine.broker_lost(now);
            self.known_due.clear();
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
        let is_waiting = self.engine.awaited_outcomes() != AwaitedOutcomes::None;
        let is_able = self.engine.settling.blocked_reason().is_none() && !is_waiting;
        if self.engine.lanes.open().is_empty() || !is_able {
            return;
        }
        *clock += self.delay;
        let now = *clock;
        if mishap == Some(Mishap::ScanGivenUp) {
            if self.engine.scanner.next_scan(&mut self.engine.queue, now).is_some() {
                self.engine.scan_failed(now);
                self.known_due.clear();
            }
            return;
        }
        self.poll(table, now);
        self.send(table, mishap, now, deliver);
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
            self.known_due.clear();
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
        self.engine.check_paused(now);
        let pauses = self.engine.pauses().clone();
        let Engine { scanner, queue, policy, .. } = &mut self.engine;
        while let Some(scan) = scanner.next_scan(queue, now) {
            let rows = table.scan(&scan, lanes, *policy, &pauses, now);
            if let (Scan::Suspects { suspects, .. }, Rows::Scanned(_, scanned)) = (&scan, &rows) {
                let overlooked = scanned.event_refs.iter().filter(|event_ref| {
                    suspects.contains(&event_ref.id)
                        && event_ref.id <= scanner.low_watermark()
                        && !queue.tracks(event_ref)
                });
                for EventRef { id, .. } in overlooked {
                    assert!(table.rows[id].is_late, "event {id} is overlooked by the scans");
                }
            }
            let due = match &rows {
                Rows::Due(due) => due.scheduled.event_refs.clone(),
                _ => Vec::new(),
            };
            let is_due_scan = matches!(rows, Rows::Due(_));
            scanner.apply(&scan, rows, lanes, queue, now);
            if is_due_scan {
                let due = due.into_iter();
                self.known_due = due.filter(|event_ref| queue.tracks(event_ref)).collect();
            }
        }
        if scanner.outcome() == ScanOutcome::Replaced {
            self.engine.table_replaced(now);
            self.known_due.clear();
        }
    }

    /// The sweep reports what it has found.
    pub(super) fn sweep(&mut self, table: &Table) {
        let (end, lanes) = (self.engine.scanner.low_watermark(), self.engine.lanes.open());
        let pauses = self.engine.pauses().clone();
        let event_refs = table.sweep(end, lanes, self.engine.policy, &pauses);
        self.engine.add_suspects(&event_refs);
    }
}

//! What is sent, and how it ends.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::super::delivered::Fate;
use super::super::table::Table;
use super::{Mishap, Relay};
use crate::lanes::lane;
use crate::publish::dispatcher::{Dispatch, SendOrder};
use crate::publish::event::Event;
use crate::publish::verdict::{FailureCause, Verdict};
use crate::publish::window::Loss;
use crate::queue::EventRef;
use crate::relay::engine::Engine;

/// Messages that were sent together, or in a run.
#[derive(Debug)]
pub(in super::super) struct InFlight {
    /// Those that were sent, with what the broker did with each.
    sent: Vec<(Event, Fate)>,
    /// The rest of a run: each is sent when the one ahead is confirmed.
    behind: Vec<Event>,
    order: SendOrder,
    /// The session in which it began; once it is gone, nothing further of the run is sent.
    session: Option<i32>,
    begun: Instant,
}

impl InFlight {
    /// All that are sent, or may be.
    pub(super) fn event_ids(&self) -> impl Iterator<Item = Uuid> {
        let sent = self.sent.iter().map(|(event, _)| event);
        sent.chain(&self.behind).map(|event| event.event_id)
    }

    /// The rows of those that were sent.
    pub(in super::super) fn ids(&self) -> impl Iterator<Item = i64> {
        self.sent.iter().map(|(event, _)| event.event_ref.id)
    }

    fn has(&self, key: i64) -> bool {
        let mut sent = self.sent.iter().map(|(event, _)| event);
        sent.any(|event| event.event_ref.key == key)
    }
}

impl Relay {
    pub(super) fn send(
        &mut self,
        table: &mut Table,
        mishap: Option<Mishap>,
        now: Instant,
        deliver: &mut impl FnMut(&Event, &Table) -> Fate,
    ) {
        while self.in_flight.len() < self.channels && self.engine.dispatcher.has_room() {
            let Engine { dispatcher, queue, .. } = &mut self.engine;
            let Some(window) = dispatcher.take_window(queue, now) else {
                break;
            };
            if mishap == Some(Mishap::LoadFails) {
                dispatcher.put_back(queue, window.into_event_refs());
                self.lose_session(table, now);
                return;
            }
            let mut loaded = table.load(&window.unloaded, now);
            if mishap == Some(Mishap::LoadDefers) && loaded.events.len() > 1 {
                let deferred = loaded.events.split_off(1);
                loaded.deferred.extend(deferred.into_iter().map(|event| event.event_ref));
            }
            let events = self.engine.window_loaded(window, loaded, now);
            if events.is_empty() {
                return;
            }
            let Engine { dispatcher, queue, .. } = &mut self.engine;
            let Dispatch { mut events, order, .. } = dispatcher.start(events, queue);
            let behind = match order {
                SendOrder::Run => events.split_off(1),
                SendOrder::Window => Vec::new(),
            };
            self.check_window(&events);
            for event in &events {
                self.is_new(event);
                self.note_overtaken(event, table);
            }
            let sent = events.into_iter().map(|event| {
                let fate = deliver(&event, table);
                (event, fate)
            });
            let sent = sent.collect();
            let session = self.session;
            self.in_flight.push(InFlight { sent, behind, order, session, begun: now });
        }
        let event_refs = self.engine.dispatcher.to_prefetch(&self.engine.queue);
        if !event_refs.is_empty() {
            self.engine.prefetched(table.load(&event_refs, now).events, now);
        }
    }

    /// Events are sent of lanes that they may be taken from, one of an aggregate at a time where
    /// order matters, and one that the broker refused before by itself.
    fn check_window(&self, events: &[Event]) {
        let open = self.engine.lanes.open();
        for (index, event) in events.iter().enumerate() {
            let (id, key) = (event.event_ref.id, event.event_ref.key);
            assert!(open.has(lane(key)), "event {id} is sent, and its lane is not open");
            assert!(!self.engine.pauses().has(event), "event {id} is sent, and it is paused");
            let is_alone = events.len() == 1;
            assert!(is_alone || !event.refusals.was_refused, "event {id} may take others along");
            let is_first = !events[..index].iter().any(|other| other.event_ref.key == key)
                && !self.in_flight.iter().any(|one| one.has(key));
            assert!(is_first || !self.engine.policy.ordered, "event {id} does not wait its turn");
        }
    }

    /// Notes the scheduled events that are due, as this relay knows, and that `event` goes before.
    fn note_overtaken(&mut self, event: &Event, table: &Table) {
        let EventRef { id, key, .. } = event.event_ref;
        for ahead in self.known_due.iter().filter(|ahead| ahead.key == key && ahead.id < id) {
            if let Some(row) = table.rows.get(&ahead.id)
                && row.is_visible_and_pending()
                && row.is_scheduled()
            {
                self.overtaken.push((event.event_id, row.event_id));
            }
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
    pub(in super::super) fn answered(
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
    pub(in super::super) fn lose_broker(&mut self, table: &mut Table, now: Instant) {
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
        let failed = |cause| Verdict::Failed(cause, "the simulation says so".to_owned());
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
            Fate::Returned => failed(FailureCause::Returned),
            Fate::Nacked => failed(FailureCause::Nacked),
            Fate::Unpublishable => Verdict::Unpublishable("the simulation says so".to_owned()),
            Fate::Unacceptable => Verdict::Failed(FailureCause::Unacceptable, refused.to_owned()),
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

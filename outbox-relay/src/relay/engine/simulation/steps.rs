//! What may happen.

use std::collections::HashSet;
use std::time::Duration;

use uuid::Uuid;

use super::delivered::Fate;
use super::dice::Dice;
use super::relay::{Mishap, Relay};
use super::table::{NextAttempt, Table};
use super::{SLICE, Simulation};
use crate::pauses::Pause;
use crate::publish::event::Event;

impl Simulation {
    /// What services do.
    pub(super) fn write(&mut self, dice: &mut Dice) {
        match dice.below(11) {
            10 => {
                // For later.
                let key = dice.one_of(self.keys);
                if let Some(transaction) = key.and_then(|key| self.table.begin(key)) {
                    let delay = [10, 100, 700, 2000, 60_000][dice.below(5)];
                    let at = NextAttempt::At(self.now + Duration::from_millis(delay));
                    let at = if dice.below(8) == 0 { NextAttempt::Infinity } else { at };
                    self.table.insert_for(transaction, 1 + dice.below(2), at);
                    self.table.end(transaction, true);
                }
            }
            0..4 => {
                // A service that writes and commits at once.
                let key = dice.one_of(self.keys);
                if let Some(transaction) = key.and_then(|key| self.table.begin(key)) {
                    self.table.insert(transaction, 1 + dice.below(5));
                    self.table.end(transaction, true);
                }
            }
            4..6 => {
                let key = dice.one_of(self.keys);
                key.and_then(|key| self.table.begin(key));
            }
            6..8 => {
                if let Some(transaction) = dice.one_of(&self.table.open()) {
                    self.table.insert(transaction, 1 + dice.below(3));
                }
            }
            _ => {
                if let Some(transaction) = dice.one_of(&self.table.open()) {
                    self.table.end(transaction, dice.below(5) > 0);
                }
            }
        }
    }

    pub(super) fn tick(&mut self, relay: usize, dice: &mut Dice) {
        self.relays[relay].delay = Duration::from_millis([0, 1, 2][dice.below(3)]);
        self.tick_with(relay, || match dice.below(48) {
            0 | 1 => Fate::Unconfirmed,
            2..6 => Fate::Returned,
            6 | 7 => Fate::Nacked,
            8 | 9 => Fate::Unacceptable,
            10 => Fate::Unpublishable,
            _ => Fate::Taken,
        });
    }

    /// `fate` is what becomes of each message that is sent.
    pub(super) fn tick_with(&mut self, relay: usize, mut fate: impl FnMut() -> Fate) {
        if self.relays[relay].mishap == Some(Mishap::LoadFails) {
            self.put_in_doubt(relay);
        }
        self.last_pid += 1;
        let (delivered, policy) = (&mut self.delivered, self.policy);
        let sent_before = delivered.events.clone();
        let mut deliver = |event: &Event, table: &Table| {
            let fate = fate();
            delivered.deliver(event, table, policy, fate);
            fate
        };
        self.relays[relay].tick(&mut self.table, self.last_pid, &mut self.now, &mut deliver);
        self.check_scheduled(relay, &sent_before);
    }

    /// No event went before a scheduled one that its relay knew to be due, but for those that were
    /// sent before.
    fn check_scheduled(&mut self, relay: usize, sent_before: &HashSet<Uuid>) {
        for (event, scheduled) in std::mem::take(&mut self.relays[relay].overtaken) {
            let is_done = self.delivered.events.contains(&scheduled)
                || self.delivered.in_doubt.contains(&scheduled)
                || sent_before.contains(&event);
            assert!(
                is_done || !self.policy.ordered,
                "event {event} overtakes {scheduled}, which is due"
            );
        }
    }

    pub(super) fn answer(&mut self, relay: usize, dice: &mut Dice) {
        let windows = self.relays[relay].in_flight.len();
        if windows > 0 {
            let index = dice.below(windows);
            self.answer_with(relay, index, || match dice.below(20) {
                0 => Fate::Returned,
                _ => Fate::Taken,
            });
        }
    }

    /// `fate` is what becomes of the next message of a run.
    pub(super) fn answer_with(
        &mut self,
        relay: usize,
        window: usize,
        mut fate: impl FnMut() -> Fate,
    ) {
        let (delivered, policy) = (&mut self.delivered, self.policy);
        let mut deliver = |event: &Event, table: &Table| {
            let fate = fate();
            delivered.deliver(event, table, policy, fate);
            fate
        };
        self.relays[relay].answered(window, &mut self.table, self.now, &mut deliver);
    }

    /// What people do, and other sessions.
    pub(super) fn disturb(&mut self, relay: usize, dice: &mut Dice) {
        let ids: Vec<i64> = self.table.rows.keys().copied().collect();
        let id = dice.one_of(&ids);
        // People change what has failed, as a rule.
        let has_failed = |id: &i64| self.table.rows[id].next_attempt != NextAttempt::Null;
        let failed: Vec<i64> = ids.iter().copied().filter(has_failed).collect();
        let failed = dice.one_of(&failed).or(id);
        match (dice.below(16), id) {
            (13, _) => {
                let key = dice.one_of(self.keys).map(|key| key.to_string());
                let [created, shipped] = ["created", "shipped"].map(|text| Some(text.to_owned()));
                let (aggregate_id, event_type) = match dice.below(5) {
                    0 => (None, None),
                    1 => (key, None),
                    2 => (key, created),
                    3 => (None, created),
                    _ => (None, shipped),
                };
                self.table.pause(Pause { aggregate_id, event_type, ..Pause::default() });
            }
            (14 | 15, _) => self.table.resume(dice.below(2) == 0),
            (0..3, Some(id)) => self.table.lock(id),
            (3..6, _) => self.table.unlock_all(),
            (6..8, _) => {
                if let Some(id) = failed {
                    self.table.retry(id, self.now);
                }
            }
            (8, Some(id)) => {
                self.table.discard(failed.filter(|_| dice.below(2) == 0).unwrap_or(id));
            }
            (9, _) => {
                self.late_id -= 1;
                if let Some(key) = dice.one_of(self.keys) {
                    self.table.insert_late(self.late_id, key);
                }
            }
            (10, _) => self.table.prune(),
            (11, _) => self.table.rewrite(),
            _ => self.relays[relay].has_broker = true,
        }
    }

    /// What breaks.
    pub(super) fn fail(&mut self, relay: usize, dice: &mut Dice) {
        match dice.below(12) {
            0..2 => self.lose_session(relay),
            2 => self.cut_off(relay),
            3..5 => {
                self.put_in_doubt(relay);
                self.relays[relay].lose_broker(&mut self.table, self.now);
            }
            5..8 => self.relays[relay].end_settling(&mut self.table, false, self.now),
            8 => {
                // Killed, and started again. The server may have come to the end of its statement.
                self.put_in_doubt(relay);
                let commits = dice.below(2) == 0;
                self.relays[relay].end_settling(&mut self.table, commits, self.now);
                self.relays[relay].lose_session(&mut self.table, self.now);
                self.relays[relay] = Relay::new(&self.args, self.policy, SLICE, self.now);
            }
            9 => {
                // While something is in flight, an event that gets the id of one of the old ones
                // waits until that one has ended.
                let is_quiet = self.relays.iter().all(Relay::is_quiet);
                if is_quiet && self.table.rows.len() > 40 && self.table.truncate() {
                    self.delivered.events.clear();
                }
            }
            _ => {
                let mishaps = [Mishap::ScanGivenUp, Mishap::LoadFails, Mishap::LoadDefers];
                self.relays[relay].mishap = dice.one_of(&mishaps);
            }
        }
    }

    /// A relay loses its session, and the others take its lanes over as soon as they notice: what it
    /// has in flight or settles ends afterwards. Perhaps it gets its lanes back meanwhile.
    pub(super) fn take_over(&mut self, relay: usize, dice: &mut Dice) {
        if dice.below(2) == 0 {
            // Failed events are due.
            self.now += Duration::from_secs(2);
            self.all_tick(dice);
        }
        match dice.below(3) {
            0 => self.answer(relay, dice),
            1 => self.begin_settling(relay, dice),
            _ => (),
        }
        if dice.below(3) == 0 {
            self.cut_off(relay);
        } else {
            self.lose_session(relay);
        }
        for other in (0..self.relays.len()).filter(|other| *other != relay) {
            self.until_list(other);
            self.tick(other, dice);
        }
        if dice.below(2) == 0 {
            // Before the others look for failed events again.
            self.begin_settling(relay, dice);
            self.relays[relay].end_settling(&mut self.table, true, self.now);
        }
        for _ in 0..[0, 0, 0, 2][dice.below(4)] {
            self.all_tick(dice);
        }
    }

    /// Each relay lists the others, and does what is due.
    fn all_tick(&mut self, dice: &mut Dice) {
        for relay in 0..self.relays.len() {
            self.until_list(relay);
            self.tick(relay, dice);
        }
    }

    /// The outcomes that gather are under way to the table.
    fn begin_settling(&mut self, relay: usize, dice: &mut Dice) {
        self.now += Duration::from_millis(10);
        self.tick(relay, dice);
    }

    /// Waits until the relay lists the others again.
    pub(super) fn until_list(&mut self, relay: usize) {
        let due = self.relays[relay].engine.lanes.next_list();
        self.now = due.map_or(self.now, |due| due.max(self.now));
    }

    pub(super) fn lose_session(&mut self, relay: usize) {
        self.put_in_doubt(relay);
        self.relays[relay].lose_session(&mut self.table, self.now);
    }

    /// The server ends the session of a relay, which notices that with its next statement.
    pub(super) fn cut_off(&mut self, relay: usize) {
        self.put_in_doubt(relay);
        self.relays[relay].cut_off(&mut self.table);
    }

    /// What this relay alone knows, or will know, may be sent again.
    fn put_in_doubt(&mut self, relay: usize) {
        self.delivered.in_doubt.extend(self.relays[relay].events_in_doubt(&self.table));
    }
}

//! Everything works again.

use std::collections::HashSet;
use std::time::Duration;

use super::Simulation;
use super::delivered::Fate;
use super::table::{NextAttempt, Row, Table};
use crate::publish::event::Event;

impl Simulation {
    /// Whatever is pending is published in the end, and no relay remembers anything.
    pub(super) fn recover(&mut self) {
        for transaction in self.table.open() {
            self.table.end(transaction, true);
        }
        self.table.resume(false);
        for relay in &mut self.relays {
            relay.mishap = None;
        }
        for round in 0.. {
            assert!(round < 3000, "it never ends: {:?}", self.table);
            self.table.unlock_all();
            self.now += Duration::from_millis(600);
            if round % 10 == 9 {
                self.now += Duration::from_mins(10);
            }
            for index in 0..self.relays.len() {
                self.work(index);
            }
            self.check();
            if !self.is_any_left() && self.relays.iter().all(|relay| relay.is_at_rest(&self.table))
            {
                break;
            }
        }
        for (id, row) in &self.table.rows {
            let is_published = !row.is_pending;
            assert!(
                !is_published || self.delivered.events.contains(&row.event_id),
                "event {id} is marked as published, and no queue has it"
            );
        }
    }

    /// A relay does whatever it can.
    fn work(&mut self, index: usize) {
        let relay = &mut self.relays[index];
        relay.has_broker = true;
        self.last_pid += 1;
        let (delivered, policy) = (&mut self.delivered, self.policy);
        let mut deliver = |event: &Event, table: &Table| {
            delivered.deliver(event, table, policy, Fate::Taken);
            Fate::Taken
        };
        relay.tick(&mut self.table, self.last_pid, &mut self.now, &mut deliver);
        while !relay.in_flight.is_empty() {
            relay.answered(0, &mut self.table, self.now, &mut deliver);
        }
        relay.end_settling(&mut self.table, true, self.now);
        relay.sweep(&self.table);
    }

    /// Whether an event is pending that is neither stuck or parked nor waits for a stuck one.
    fn is_any_left(&self) -> bool {
        let is_stuck = |row: &Row| row.next_attempt == NextAttempt::Infinity;
        let mut held = HashSet::new();
        self.table.rows.values().any(|row| {
            let is_held = self.policy.ordered && held.contains(&row.key);
            if row.is_pending && is_stuck(row) && !row.is_scheduled() && self.policy.stuck_holds {
                held.insert(row.key);
            }
            row.is_pending && !is_stuck(row) && !is_held
        })
    }
}

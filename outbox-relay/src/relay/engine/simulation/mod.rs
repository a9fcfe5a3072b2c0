//! The engine in a simulation of all that is around it: a table with its transactions and locks, a
//! broker, people, several relays, and a clock. Each step is one thing that may happen, chosen by a
//! list of numbers, so that a list that fails can be shortened.
//!
//! After every step must hold:
//!
//! - an event is not delivered for the first time before an earlier one of its aggregate;
//! - an event is delivered again only after its outcome was in doubt;
//! - a lane belongs to one relay.
//!
//! And when everything works again, every event is delivered, unless it is stuck or waits for one
//! that is.

mod delivered;
mod dice;
mod relay;
mod table;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::cli::Cli;
use crate::config::RelayArgs;
use crate::database::queries::BlockingPolicy;
use crate::publish::event::Event;
use delivered::{Delivered, Fate};
use dice::Dice;
use proptest::prelude::*;
use relay::Relay;
use service_kit::config::try_parse_from;
use table::{NextAttempt, Table};

/// The aggregates: two in the first lane, two in others.
const KEYS: [i64; 4] = [0, 64, 1, 40];

/// The most rows that a scan reads: few, so that it often ends before the table.
const SLICE: i64 = 7;

fn args() -> RelayArgs {
    let arguments = [
        "outbox-relay",
        "run",
        "--database-url",
        "postgres://u@h/d",
        "--rabbitmq-url",
        "amqp://h",
        "--relay-window",
        "4",
        "--relay-channels",
        "2",
        "--relay-max-attempts",
        "5",
    ];
    let cli = try_parse_from::<Cli>(arguments);
    cli.ok().and_then(|cli| cli.into_config().ok()).expect("good settings").relay
}

struct Simulation {
    policy: BlockingPolicy,
    args: RelayArgs,
    now: Instant,
    table: Table,
    relays: Vec<Relay>,
    delivered: Delivered,
    last_pid: i32,
    late_id: i64,
}

impl Simulation {
    fn new(policy: BlockingPolicy) -> Self {
        let (args, now) = (args(), Instant::now());
        let relays = (0..2).map(|_| Relay::new(&args, policy, SLICE, now)).collect();
        Self {
            policy,
            args,
            now,
            table: Table::default(),
            relays,
            delivered: Delivered::default(),
            last_pid: 100,
            late_id: 0,
        }
    }

    /// One thing happens.
    fn step(&mut self, choice: u64) {
        let mut dice = Dice(choice);
        let relay = dice.below(self.relays.len());
        match dice.below(100) {
            0..9 => self.write(&mut dice),
            9..39 => self.tick(relay, &mut dice),
            39..57 => self.answer(relay, &mut dice),
            57..66 => self.relays[relay].end_settling(&mut self.table, true, self.now),
            66..77 => self.now += Duration::from_millis([1, 5, 20, 60, 500][dice.below(5)]),
            77..81 => self.now += Duration::from_secs([2, 2, 30, 600][dice.below(4)]),
            81..83 => self.relays[relay].sweep(&self.table),
            83..92 => self.disturb(relay, &mut dice),
            _ => self.fail(relay, &mut dice),
        }
        self.check();
    }

    fn write(&mut self, dice: &mut Dice) {
        match dice.below(10) {
            0..4 => {
                // A service that writes and commits at once.
                if let Some(transaction) = dice.one_of(&KEYS).and_then(|key| self.table.begin(key))
                {
                    self.table.insert(transaction, 1 + dice.below(5));
                    self.table.end(transaction, true);
                }
            }
            4..6 => {
                let key = dice.one_of(&KEYS);
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

    fn tick(&mut self, relay: usize, dice: &mut Dice) {
        self.last_pid += 1;
        let (delivered, policy) = (&mut self.delivered, self.policy);
        let mut deliver = |event: &Event, table: &Table| {
            let fate = match dice.below(24) {
                0 => Fate::Unconfirmed,
                1 | 2 => Fate::Returned,
                3 => Fate::Nacked,
                4 => Fate::Unacceptable,
                _ => Fate::Taken,
            };
            delivered.deliver(event, table, policy, fate);
            fate
        };
        self.relays[relay].tick(&mut self.table, self.last_pid, self.now, &mut deliver);
    }

    fn answer(&mut self, relay: usize, dice: &mut Dice) {
        let windows = self.relays[relay].in_flight.len();
        if windows == 0 {
            return;
        }
        let index = dice.below(windows);
        let (delivered, policy) = (&mut self.delivered, self.policy);
        let mut deliver = |event: &Event, table: &Table| {
            let fate = if dice.below(20) == 0 { Fate::Returned } else { Fate::Taken };
            delivered.deliver(event, table, policy, fate);
            fate
        };
        self.relays[relay].answered(index, &mut self.table, self.now, &mut deliver);
    }

    /// What people do, and other sessions.
    fn disturb(&mut self, relay: usize, dice: &mut Dice) {
        let ids: Vec<i64> = self.table.rows.keys().copied().collect();
        let id = dice.one_of(&ids);
        match (dice.below(12), id) {
            (0..3, Some(id)) => self.table.lock(id),
            (3..6, _) => self.table.unlock_all(),
            (6..8, Some(id)) => self.table.retry(id, self.now),
            (8, Some(id)) => self.table.discard(id),
            (9, _) => {
                self.late_id -= 1;
                if let Some(key) = dice.one_of(&KEYS) {
                    self.table.insert_late(self.late_id, key);
                }
            }
            (10, _) => self.table.prune(),
            _ => self.relays[relay].has_broker = true,
        }
    }

    /// What breaks.
    fn fail(&mut self, relay: usize, dice: &mut Dice) {
        let doubt = self.relays[relay].events_in_doubt(&self.table);
        match dice.below(10) {
            0..3 => {
                self.delivered.in_doubt.extend(doubt);
                self.relays[relay].lose_session(&mut self.table, self.now);
            }
            3..5 => {
                self.delivered.in_doubt.extend(doubt);
                self.relays[relay].lose_broker(&mut self.table, self.now);
            }
            5..8 => self.relays[relay].end_settling(&mut self.table, false, self.now),
            8 => {
                // Killed, and started again. The server may have come to the end of its statement.
                self.delivered.in_doubt.extend(doubt);
                let commits = dice.below(2) == 0;
                self.relays[relay].end_settling(&mut self.table, commits, self.now);
                self.relays[relay].lose_session(&mut self.table, self.now);
                self.relays[relay] = Relay::new(&self.args, self.policy, SLICE, self.now);
            }
            _ => {
                // While something is in flight, an event that gets the id of one of the old ones
                // waits until that one has ended.
                let is_quiet = self.relays.iter().all(Relay::is_quiet);
                if is_quiet && self.table.rows.len() > 40 && self.table.truncate() {
                    self.delivered.events.clear();
                }
            }
        }
    }

    fn check(&self) {
        let mut owned = 0;
        for relay in &self.relays {
            let open = relay.engine.lanes.open().0;
            assert_eq!(owned & open, 0, "a lane belongs to two relays");
            owned |= open;
            let locks = relay.session.map_or(0, |pid| self.table.owned(pid).0);
            assert_eq!(open & !locks, 0, "a relay works on a lane that it does not own");
        }
    }

    /// Everything works again: whatever is pending is published in the end.
    fn recover(&mut self) {
        for transaction in self.table.open() {
            self.table.end(transaction, true);
        }
        let holds = |row: &table::Row| row.next_attempt == NextAttempt::Infinity;
        for round in 0.. {
            assert!(round < 3000, "it never ends: {:?}", self.table);
            self.table.unlock_all();
            self.now += Duration::from_millis(600);
            if round % 10 == 9 {
                self.now += Duration::from_mins(10);
            }
            for index in 0..self.relays.len() {
                let relay = &mut self.relays[index];
                relay.has_broker = true;
                self.last_pid += 1;
                let (delivered, policy) = (&mut self.delivered, self.policy);
                let mut deliver = |event: &Event, table: &Table| {
                    delivered.deliver(event, table, policy, Fate::Taken);
                    Fate::Taken
                };
                relay.tick(&mut self.table, self.last_pid, self.now, &mut deliver);
                while !relay.in_flight.is_empty() {
                    relay.answered(0, &mut self.table, self.now, &mut deliver);
                }
                relay.end_settling(&mut self.table, true, self.now);
                relay.sweep(&self.table);
            }
            self.check();
            let mut held = HashSet::new();
            let is_left = self.table.rows.values().any(|row| {
                let is_held = self.policy.ordered && held.contains(&row.key);
                if row.is_pending && holds(row) && self.policy.stuck_holds {
                    held.insert(row.key);
                }
                row.is_pending && !holds(row) && !is_held
            });
            if !is_left {
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
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn no_event_is_lost_or_overtaken_whatever_happens_around_the_relays(
        ordered in prop::bool::weighted(0.85),
        stuck_holds: bool,
        choices in prop::collection::vec(any::<u64>(), 1..1500),
    ) {
        let mut simulation = Simulation::new(BlockingPolicy { ordered, stuck_holds });
        for choice in choices {
            simulation.step(choice);
        }
        simulation.recover();
    }
}

//! The engine in a simulation of all that is around it: a table with its transactions and locks, a
//! broker, people, several relays, and a clock. Each step is one thing that may happen, chosen by a
//! list of numbers, so that a list that fails can be shortened.
//!
//! After every step must hold:
//!
//! - an event is not delivered for the first time before an earlier one of its aggregate;
//! - a scheduled event that a relay knows to be due is not overtaken by a later one of its aggregate;
//! - an event is delivered again only after its outcome was in doubt;
//! - a relay sends no event that it knows to be paused, and no later one of its aggregate;
//! - a relay sends events of lanes that it may take from, one of an aggregate at a time, and one that
//!   the broker refused before by itself;
//! - a lane belongs to one relay;
//! - the scans have overlooked no event: the sweep finds none, but for ids that were chosen by hand.
//!
//! And when everything works again, every event is delivered, unless it is stuck or waits for one
//! that is, and no relay remembers anything.
//!
//! | file | what is in it |
//! |---|---|
//! | `steps` | what may happen |
//! | `directed` | sequences that chance seldom plays |
//! | `left` | such sequences about what is left to the relay that owns the lane by now |
//! | `paused` | such sequences about what people pause |
//! | `scheduled` | such sequences about scheduled events that go ahead of others |
//! | `recovery` | everything works again |
//! | `table` | the rows, transactions and locks, and the answers to the relays' statements |
//! | `relay` | an engine, with a model of the connections around it |
//! | `delivered` | what the broker was sent |

mod delivered;
mod dice;
mod directed;
mod left;
mod paused;
mod recovery;
mod relay;
mod scheduled;
mod steps;
mod table;

use std::time::{Duration, Instant};

use crate::cli::Cli;
use crate::config::RelayArgs;
use crate::database::queries::BlockingPolicy;
use delivered::Delivered;
use dice::Dice;
use proptest::prelude::*;
use relay::Relay;
use service_kit::config::try_parse_from;
use table::Table;

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
    /// The aggregates that events are written of.
    keys: &'static [i64],
    args: RelayArgs,
    now: Instant,
    table: Table,
    relays: Vec<Relay>,
    delivered: Delivered,
    last_pid: i32,
    late_id: i64,
}

impl Simulation {
    fn new(policy: BlockingPolicy, aggregates: usize) -> Self {
        let (args, now) = (args(), Instant::now());
        let relays = (0..2).map(|_| Relay::new(&args, policy, SLICE, now)).collect();
        Self {
            policy,
            keys: &KEYS[..aggregates],
            args,
            now,
            table: Table::new(now),
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
            9..37 => self.tick(relay, &mut dice),
            37..54 => self.answer(relay, &mut dice),
            54..63 => self.relays[relay].end_settling(&mut self.table, true, self.now),
            63..74 => self.now += Duration::from_millis([1, 5, 20, 60, 500][dice.below(5)]),
            74..78 => self.now += Duration::from_secs([2, 2, 30, 600][dice.below(4)]),
            78..81 => self.relays[relay].sweep(&self.table),
            81..90 => self.disturb(relay, &mut dice),
            90..98 => self.fail(relay, &mut dice),
            _ => self.take_over(relay, &mut dice),
        }
        self.check();
    }

    fn check(&self) {
        let mut owned = 0;
        // One that is cut off does not know better.
        for relay in self.relays.iter().filter(|relay| !relay.is_cut_off) {
            let open = relay.engine.lanes.open().0;
            assert_eq!(owned & open, 0, "a lane belongs to two relays");
            owned |= open;
            let locks = relay.session.map_or(0, |pid| self.table.owned(pid).0);
            assert_eq!(open & !locks, 0, "a relay works on a lane that it does not own");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn no_event_is_lost_or_overtaken_whatever_happens_around_the_relays(
        ordered in prop::bool::weighted(0.85),
        stuck_holds: bool,
        // Few aggregates meet more often.
        aggregates in 1..=KEYS.len(),
        choices in prop::collection::vec(any::<u64>(), 1..1500),
    ) {
        let mut simulation = Simulation::new(BlockingPolicy { ordered, stuck_holds }, aggregates);
        for choice in choices {
            simulation.step(choice);
        }
        simulation.recover();
    }
}

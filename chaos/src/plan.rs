//! Which faults happen, drawn from a seed.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use crate::links::Link;
use crate::postgres::Postgres;
use crate::topology::{POOLERS, Topology, node_name};

/// What happens to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// SIGKILL, and started again after a while.
    Kill,
    /// SIGTERM, and started again after a while.
    Restart,
    /// SIGSTOP, and SIGCONT after a while.
    Suspend,
    /// A standby takes the place of its primary, which is killed, and built anew after a while.
    FailOver,
    /// The clock of a program jumps forwards or back, and later to the right time again.
    ClockJump,
    /// The connections of a program to a server are reset, again and again.
    Cut,
    /// Nothing gets through between a program and a server.
    Hold,
    /// A server hears a program, and is not heard.
    Deafen,
    /// Little gets through between a program and a server, late.
    Slow,
    /// Another session ends all sessions of a database.
    EndSessions,
    /// The broker closes all its clients' connections.
    CloseConnections,
    /// A node of the broker is short of memory.
    MemoryAlarm,
    /// A node of the broker is short of disk space.
    DiskAlarm,
    /// A node of the broker goes into maintenance and gives away the leadership of its queues.
    Drain,
    /// A node of the broker is cut off from the others, both ways.
    Isolate,
    /// There are five relays, then two, and three again.
    Scale,
    /// A session holds a lock on rows of the outbox.
    LockRows,
    /// A program of the previous release runs in place of this one's.
    PreviousRelease,
    /// The disk of a database's server is full.
    FullDisk,
    /// An operator pauses an aggregate type, and resumes it.
    Pause,
}

/// A fault of a plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// From 1.
    pub(crate) number: usize,
    /// What happens.
    pub(crate) kind: Kind,
    /// To whom.
    pub(crate) target: String,
    /// In milliseconds.
    pub(crate) lasts: u64,
    /// How many milliseconds after the fault before it begins.
    pub(crate) gap: u64,
}

/// All faults of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// What they were drawn from.
    pub(crate) seed: u64,
    /// In the order in which they happen.
    pub(crate) faults: Vec<Fault>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, kind, target, lasts, .. } = self;
        write!(f, "{number}: {kind:?} {target} for {lasts} ms")
    }
}

/// How long most faults last, in milliseconds, and how long some do.
const SHORT: RangeInclusive<u64> = 200..=3_000;
const LONG: RangeInclusive<u64> = 3_000..=10_000;

/// The share of each kind, in percent where all are possible.
const SHARES: [(Kind, u32); 20] = [
    (Kind::Kill, 17),
    (Kind::Restart, 9),
    (Kind::Suspend, 12),
    (Kind::FailOver, 2),
    (Kind::ClockJump, 2),
    (Kind::Cut, 11),
    (Kind::Hold, 7),
    (Kind::Deafen, 7),
    (Kind::Slow, 6),
    (Kind::EndSessions, 4),
    (Kind::CloseConnections, 4),
    (Kind::MemoryAlarm, 2),
    (Kind::DiskAlarm, 2),
    (Kind::Drain, 2),
    (Kind::Isolate, 1),
    (Kind::Scale, 2),
    (Kind::PreviousRelease, 3),
    (Kind::FullDisk, 1),
    (Kind::LockRows, 3),
    (Kind::Pause, 3),
];

impl Plan {
    /// Draws `count` faults with a mean gap.
    pub(crate) fn draw(seed: u64, count: usize, gap: Duration, topology: &Topology) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let programs: Vec<String> =
            topology.programs.iter().map(|program| program.name.clone()).collect();
        let released: Vec<String> = topology
            .programs
            .iter()
            .filter(|program| topology.had_release(program))
            .map(|program| program.name.clone())
            .collect();
        let databases = [topology.orders.name, topology.customers.name].map(ToOwned::to_owned);
        let standbys = [&topology.orders, &topology.customers].map(Postgres::standby_name);
        let nodes = [0, 1, 2].map(node_name);
        // Spare relays are down most of the time.
        let mut links: Vec<String> = topology
            .links
            .iter()
            .filter(|link| programs.contains(&link.from))
            .map(Link::name)
            .collect();
        links.dedup();
        let gap = u64::try_from(gap.as_millis()).unwrap_or(u64::MAX);
        let kinds = SHARES.into_iter().filter(|(kind, _)| match kind {
            Kind::PreviousRelease => topology.previous.is_some(),
            Kind::FullDisk => topology.orders.disk.is_some(),
            _ => true,
        });
        let kinds: Vec<(Kind, u32)> = kinds.collect();
        let faults = (1..=count).map(|number| {
            let kind = pick_kind(&mut rng, &kinds);
            let pick =
                |rng: &mut StdRng, from: &[String]| from[rng.random_range(0..from.len())].clone();
            let target = match kind {
                Kind::Kill | Kind::Restart | Kind::Suspend => match rng.random_range(0..20) {
                    0..3 => pick(&mut rng, &nodes),
                    3..6 => pick(&mut rng, &databases),
                    6 => pick(&mut rng, &standbys),
                    7 if kind != Kind::Suspend => POOLERS.to_owned(),
                    _ => pick(&mut rng, &programs),
                },
                Kind::PreviousRelease => pick(&mut rng, &released),
                Kind::ClockJump => pick(&mut rng, &programs),
                Kind::Cut | Kind::Hold | Kind::Deafen | Kind::Slow => pick(&mut rng, &links),
                Kind::FailOver | Kind::EndSessions => pick(&mut rng, &databases),
                Kind::CloseConnections
                | Kind::MemoryAlarm
                | Kind::DiskAlarm
                | Kind::Drain
                | Kind::Isolate => pick(&mut rng, &nodes),
                Kind::Scale => "relays".to_owned(),
                Kind::LockRows | Kind::FullDisk => databases[0].clone(),
                Kind::Pause => ["order", "counter"][rng.random_range(0..2)].to_owned(),
            };
            let range = if rng.random_ratio(1, 10) { LONG } else { SHORT };
            let lasts = rng.random_range(range);
            let gap = rng.random_range(gap / 2..=gap * 3 / 2);
            Fault { number, kind, target, lasts, gap }
        });
        Self { seed, faults: faults.collect() }
    }

    /// Reads the plan of an earlier run.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let place = || file.display().to_string();
        serde_json::from_str(&std::fs::read_to_string(file).with_context(place)?)
            .with_context(place)
    }

    /// Writes it to where [`read`](Self::read) finds it.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        std::fs::write(file, serde_json::to_string_pretty(self)?)
            .with_context(|| file.display().to_string())
    }
}

fn pick_kind(rng: &mut StdRng, shares: &[(Kind, u32)]) -> Kind {
    let mut left = rng.random_range(0..shares.iter().map(|(_, share)| share).sum());
    for (kind, share) in shares {
        if left < *share {
            return *kind;
        }
        left -= share;
    }
    Kind::Kill
}

#[cfg(test)]
mod tests {
    use super::SHARES;

    #[test]
    fn the_shares_are_a_whole() {
        assert_eq!(SHARES.iter().map(|(_, share)| share).sum::<u32>(), 100);
    }
}

//! What a run was, in figures: of each round, and of all rounds together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use chaos_checker::{History, Outcome, Verdict};
use serde::{Deserialize, Serialize};

/// The file of a round's folder that says that the round is over.
const FILE: &str = "verdict.json";

/// The faults of one kind.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Faults {
    count: usize,
    interrupted: usize,
}

/// What a round was, or a run.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Figures {
    seconds: u64,
    /// Orders that clients were told to be accepted.
    orders: usize,
    /// Different events that were published.
    events: usize,
    /// The longest time that an event was due and not published, in seconds.
    longest_wait: f64,
    faults: BTreeMap<String, Faults>,
}

/// A round that is over.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Round {
    seed: u64,
    #[serde(flatten)]
    figures: Figures,
    #[serde(flatten)]
    verdict: Verdict,
}

/// A run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    figures: Figures,
    #[serde(flatten)]
    verdict: Verdict,
    /// Kinds of fault that this machine can't make, and why.
    left_out: Vec<String>,
    /// In their order.
    pub(crate) rounds: Vec<Round>,
}

impl Figures {
    fn add(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.orders += other.orders;
        self.events += other.events;
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        for (kind, faults) in &other.faults {
            let sum = self.faults.entry(kind.clone()).or_default();
            sum.count += faults.count;
            sum.interrupted += faults.interrupted;
        }
    }

    fn all_faults(&self) -> Faults {
        let mut sum = Faults::default();
        for faults in self.faults.values() {
            sum.count += faults.count;
            sum.interrupted += faults.interrupted;
        }
        sum
    }
}

impl Round {
    /// The round that took so long and has this history.
    pub(crate) fn on(seed: u64, took: Duration, history: &History, verdict: Verdict) -> Self {
        let mut faults = BTreeMap::<String, Faults>::new();
        for fault in &history.faults {
            let of_kind = faults.entry(fault.kind.clone()).or_default();
            of_kind.count += 1;
            of_kind.interrupted += usize::from(fault.interrupted);
        }
        let accepted = history.creates.iter().filter(|create| create.outcome == Outcome::Done);
        let published: BTreeSet<&str> =
            history.published().map(|message| message.message_id.as_str()).collect();
        let figures = Figures {
            seconds: took.as_secs(),
            orders: accepted.count(),
            events: published.len(),
            longest_wait: history.samples.iter().map(|sample| sample.oldest).fold(0.0, f64::max),
            faults,
        };
        Self { seed, figures, verdict }
    }

    /// Reads the verdict on the round in this folder, if there is one.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Option<Self>> {
        let file = folder.join(FILE);
        if !file.exists() {
            return Ok(None);
        }
        let place = || file.display().to_string();
        serde_json::from_str(&std::fs::read_to_string(&file).with_context(place)?)
            .with_context(place)
    }

    /// Writes it to where [`read`](Self::read) finds it.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let file = folder.join(FILE);
        std::fs::write(&file, serde_json::to_string_pretty(self)?)
            .with_context(|| file.display().to_string())
    }

    /// How many faults it had.
    pub(crate) fn faults(&self) -> usize {
        self.figures.all_faults().count
    }

    /// Whether every guarantee was examined and held.
    pub(crate) fn holds(&self) -> bool {
        self.verdict.holds()
    }
}

impl Report {
    /// Sums up the rounds of a run.
    pub(crate) fn on(rounds: Vec<Round>, left_out: Vec<String>) -> Self {
        let (mut figures, mut verdict) = (Figures::default(), Verdict::default());
        for round in &rounds {
            figures.add(&round.figures);
            verdict = verdict.and(&round.verdict);
        }
        Self { figures, verdict, left_out, rounds }
    }

    /// Whether every guarantee was examined and held in every round.
    pub(crate) fn holds(&self) -> bool {
        self.rounds.iter().all(Round::holds)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, orders, events, longest_wait, .. } = self;
        let Faults { count, interrupted } = self.all_faults();
        write!(
            f,
            "{count} faults in {} min {:02} s, {interrupted} of them interrupted work; {orders} orders \
             accepted, {events} events published; the longest wait of an event was {longest_wait:.1} s",
            seconds / 60,
            seconds % 60
        )
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = if self.holds() { "each guarantee held" } else { "NOT each guarantee held" };
        write!(f, "{held}: {}", self.figures)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rounds: {}", self.rounds.len())?;
        for (kind, Faults { count, interrupted }) in &self.figures.faults {
            writeln!(f, "{kind:20} {count:5} faults, {interrupted:5} interrupted work")?;
        }
        for kind in &self.left_out {
            writeln!(f, "left out: {kind}")?;
        }
        writeln!(f, "{}{}", self.verdict, self.figures)?;
        let held = if self.holds() { "every guarantee held" } else { "NOT every guarantee held" };
        writeln!(f, "{held}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chaos_checker::{Check, Verdict};

    use super::{Faults, Figures, Report, Round};

    fn round(interrupted: usize, longest_wait: f64, held: bool) -> Round {
        let faults = BTreeMap::from([("kill".to_owned(), Faults { count: 3, interrupted })]);
        let mut check = Check::new("nothing is lost");
        check.examine(held, || "an event".to_owned());
        let figures = Figures { seconds: 60, orders: 10, events: 30, longest_wait, faults };
        Round { seed: u64::MAX, figures, verdict: Verdict { checks: vec![check] } }
    }

    #[test]
    fn a_round_is_read_as_it_was_written() -> anyhow::Result<()> {
        let folder = std::env::temp_dir().join(format!("chaos-report-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        assert!(Round::read(&folder)?.is_none());
        let written = round(2, 1.25, false);
        written.write(&folder)?;
        let read = Round::read(&folder)?;
        std::fs::remove_dir_all(&folder)?;
        assert_eq!(read.map(|read| format!("{read:?}")), Some(format!("{written:?}")));
        Ok(())
    }

    #[test]
    fn a_run_holds_only_if_each_round_does() {
        assert!(Report::on(vec![round(3, 1.0, true), round(2, 7.0, true)], Vec::new()).holds());
        let report = Report::on(vec![round(3, 1.0, true), round(2, 7.0, false)], Vec::new());
        assert!(!report.holds());
        let told = report.to_string();
        assert!(told.contains("BROKEN        nothing is lost (1 of 2)\n"), "{told}");
        assert!(
            told.contains("kill                     6 faults,     5 interrupted work\n"),
            "{told}"
        );
        assert!(told.contains("6 faults in 2 min 00 s, 5 of them"), "{told}");
        assert!(told.contains("20 orders accepted, 60 events published"), "{told}");
        assert!(told.contains("was 7.0 s"), "{told}");
    }
}

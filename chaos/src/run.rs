//! A run: its rounds, one after the other, and its report.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pipeline_tests::previous_release::PreviousRelease;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use crate::cli::Cli;
use crate::minimise::minimise;
use crate::mounts::may_mount;
use crate::plan::Plan;
use crate::plot;
use crate::report::{Report, Round};
use crate::round;

/// The most faults of a round, which bounds what the checker has to read at a time.
const MOST: usize = 50;

/// What a run was started with, in `run.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    seed: u64,
    faults: usize,
    /// In milliseconds.
    gap: u64,
}

/// The means that some kinds of fault need: root, other builds.
struct Means {
    previous: Option<Arc<PreviousRelease>>,
    /// The kinds of fault for which something is missing, and what.
    left_out: Vec<String>,
}

impl Means {
    async fn find() -> Self {
        let mut left_out = Vec::new();
        if !may_mount() {
            left_out.push("full_disk: only root may mount a small disk".to_owned());
        }
        let previous = PreviousRelease::get().await;
        let previous =
            previous.map_err(|error| left_out.push(format!("previous_release: {error:#}"))).ok();
        Self { previous: previous.map(Arc::new), left_out }
    }
}

/// Returns whether all guarantees held.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<bool> {
    if let Some(file) = &cli.replay {
        // Before the folder is emptied that may have it.
        let plan = Plan::read(file)?;
        if cli.minimise {
            minimise(&plan, &cli.out)?;
            return Ok(false);
        }
        empty(&cli.out)?;
        let means = Means::find().await;
        let round = Box::pin(round::run(&folder(&cli.out, 1), means.previous, |_| plan)).await?;
        return tell(&cli.out, vec![round], means.left_out);
    }
    let (run, mut rounds) = if cli.resume { resumed(&cli)? } else { (begun(&cli)?, Vec::new()) };
    write(&cli.out, &run)?;
    let means = Means::find().await;
    loop {
        let done: usize = rounds.iter().map(Round::faults).sum();
        let left = run.faults.saturating_sub(done);
        if left == 0 {
            break;
        }
        let number = rounds.len() + 1;
        writeln!(std::io::stderr(), "round {number}, after {done} of {} faults", run.faults)?;
        let count = left.div_ceil(left.div_ceil(MOST));
        let gap = Duration::from_millis(run.gap);
        let seed = seed_of_round(run.seed, number);
        let draw = |topology: &_| Plan::draw(seed, count, gap, topology);
        let round =
            Box::pin(round::run(&folder(&cli.out, number), means.previous.clone(), draw)).await?;
        let holds = round.holds();
        rounds.push(round);
        if !holds {
            break;
        }
    }
    tell(&cli.out, rounds, means.left_out)
}

/// A new run in an empty folder.
fn begun(cli: &Cli) -> anyhow::Result<Run> {
    empty(&cli.out)?;
    // Short enough to be typed.
    let seed = cli.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let gap = u64::try_from(cli.gap.as_millis())?;
    Ok(Run { seed, faults: cli.faults.unwrap_or(100), gap })
}

/// The run that is in the folder, and its rounds that have a verdict.
fn resumed(cli: &Cli) -> anyhow::Result<(Run, Vec<Round>)> {
    let file = cli.out.join("run.json");
    let text = std::fs::read_to_string(&file);
    let text = text.with_context(|| format!("no run to resume: {}", file.display()))?;
    let mut run: Run = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
    run.faults = cli.faults.unwrap_or(run.faults);
    let mut rounds = Vec::new();
    while let Some(round) = Round::read(&folder(&cli.out, rounds.len() + 1))? {
        rounds.push(round);
    }
    Ok((run, rounds))
}

fn write(out: &Path, run: &Run) -> anyhow::Result<()> {
    let place = || format!("cannot write to {}", out.display());
    std::fs::create_dir_all(out).with_context(place)?;
    std::fs::write(out.join("run.json"), serde_json::to_string(run)?).with_context(place)
}

/// Prints the report and writes it beside the rounds. Returns whether all guarantees held.
fn tell(out: &Path, rounds: Vec<Round>, left_out: Vec<String>) -> anyhow::Result<bool> {
    let folders: Vec<PathBuf> = (1..=rounds.len()).map(|number| folder(out, number)).collect();
    plot::draw(&folders, &out.join("plot.svg"))?;
    let report = Report::on(rounds, left_out);
    std::fs::write(out.join("report.json"), serde_json::to_string_pretty(&report)?)?;
    let mut stdout = std::io::stdout();
    write!(stdout, "{report}")?;
    for (folder, round) in folders.iter().zip(&report.rounds) {
        if !round.holds() {
            let plan = folder.join("plan.json");
            writeln!(stdout, "the same faults again: --replay {}", plan.display())?;
        }
    }
    Ok(report.holds())
}

/// The folder of the round with this number, from 1.
fn folder(out: &Path, number: usize) -> PathBuf {
    out.join(format!("round-{number:02}"))
}

/// Removes what an earlier run has left in the folder.
fn empty(out: &Path) -> anyhow::Result<()> {
    for number in 1.. {
        let folder = folder(out, number);
        if !folder.is_dir() {
            break;
        }
        std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    std::fs::remove_file(out.join("run.json")).ok();
    Ok(())
}

/// The numbers of a generator that is seeded with the run's seed.
fn seed_of_round(seed: u64, number: usize) -> u64 {
    let mut rng = StdRng::seed_from_u64(seed);
    let numbers = (0..number).map(|_| u64::from(rng.random::<u32>()));
    numbers.last().unwrap_or(seed)
}

//! Rounds of requests until enough were sent, and the verdict.

use std::io::Write as _;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use anyhow::ensure;

use crate::apis::{Api, Apis};
use crate::cli::Cli;
use crate::schemathesis::{Report, Round, Schemathesis};

/// How many requests a round draws for each operation, valid and invalid ones each, at the most.
const EXAMPLES: u64 = 100;

/// Sends the requests. Returns true if all answers were as documented.
pub(crate) async fn run(cli: &Cli) -> anyhow::Result<bool> {
    let schemathesis = Schemathesis::install()?;
    let seed = cli.seed.unwrap_or_else(rand::random);
    let apis = Apis::start().await?;
    say(&format!("At least {} requests, with --seed {seed}.", cli.requests))?;
    let rounds = Rounds {
        schemathesis,
        seed,
        wanted: cli.requests,
        sent: AtomicU64::new(0),
        failed: AtomicBool::new(false),
    };
    let [orders, customers, console] = &apis.all;
    tokio::try_join!(
        Box::pin(rounds.send_to(orders)),
        Box::pin(rounds.send_to(customers)),
        Box::pin(rounds.send_to(console)),
    )?;
    if let Some(last_lines) = apis.ended() {
        say(&format!("A program has ended; {last_lines}"))?;
        return Ok(false);
    }
    let (sent, is_well) = (rounds.sent.into_inner(), !rounds.failed.into_inner());
    ensure!(!is_well || sent >= cli.requests, "only {sent} requests were sent");
    let verdict = if is_well { "every answer was as documented" } else { "see above" };
    say(&format!("{sent} requests: {verdict}."))?;
    Ok(is_well)
}

/// Rounds of requests to all APIs.
struct Rounds {
    schemathesis: Schemathesis,
    seed: u32,
    /// How many requests are to be sent in all.
    wanted: u64,
    /// How many were.
    sent: AtomicU64,
    /// Whether an answer was wrong.
    failed: AtomicBool,
}

impl Rounds {
    /// Sends requests to an API: one round at least, and more until enough were sent in all or a
    /// round has found a failure.
    async fn send_to(&self, api: &Api) -> anyhow::Result<()> {
        let examples = (self.wanted / 60 + 1).min(EXAMPLES);
        let (mut rounds, mut own) = (0, 0);
        let goes_on = || !self.failed.load(Relaxed) && self.sent.load(Relaxed) < self.wanted;
        while rounds == 0 || goes_on() {
            let seed = self.seed.wrapping_add(rounds);
            let round = Round { seed, is_first: rounds == 0, examples };
            let begun = Instant::now();
            let report = self.schemathesis.send(api, round).await?;
            let count = report.test_cases.generated;
            ensure!(report.complete && count > 0, "{}", report.text);
            if !report.failures.is_empty() || !report.errors.is_empty() {
                self.failed.store(true, Relaxed);
                tell_failures(api, &report)?;
            }
            rounds += 1;
            own += count;
            let all = self.sent.fetch_add(count, Relaxed) + count;
            let (name, seconds) = (api.name, begun.elapsed().as_secs());
            say(&format!(
                "{name}: round {rounds}, {count} requests in {seconds} s; {own} of {all}"
            ))?;
        }
        Ok(())
    }
}

fn tell_failures(api: &Api, report: &Report) -> anyhow::Result<()> {
    say(&report.text)?;
    say(&format!("{}:", api.name))?;
    let failures = report.failures.iter().map(|failure| (&failure.title, failure.count));
    let errors = report.errors.iter().map(|error| (&error.title, error.count));
    for (title, count) in failures.chain(errors) {
        say(&format!("  {title}: {count}"))?;
    }
    Ok(())
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

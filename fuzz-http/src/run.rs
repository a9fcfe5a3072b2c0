//! Rounds of requests until enough were sent, and the verdict.

use std::io::Write as _;
use std::time::Instant;

use anyhow::ensure;

use crate::apis::{Api, Apis};
use crate::cli::Cli;
use crate::schemathesis::{Report, Round, Schemathesis};

/// How many requests a round draws for each operation and kind of request, at the most.
const EXAMPLES: u64 = 500;

/// Sends the requests. Returns true if all answers were as documented.
pub(crate) async fn run(cli: &Cli) -> anyhow::Result<bool> {
    let schemathesis = Schemathesis::install()?;
    let seed = cli.seed.unwrap_or_else(rand::random);
    let apis = Apis::start().await?;
    say(&format!("At least {} requests, with --seed {seed}.", cli.requests))?;
    let share = cli.requests.div_ceil(apis.all.len() as u64);
    let [orders, customers, console] = &apis.all;
    let (orders, customers, console) = tokio::try_join!(
        Box::pin(send_to(orders, &schemathesis, seed, share)),
        Box::pin(send_to(customers, &schemathesis, seed, share)),
        Box::pin(send_to(console, &schemathesis, seed, share)),
    )?;
    if let Some(last_lines) = apis.ended() {
        say(&format!("A program has ended; {last_lines}"))?;
        return Ok(false);
    }
    let all = [orders, customers, console];
    let sent: u64 = all.iter().map(|outcome| outcome.sent).sum();
    let is_well = all.iter().all(|outcome| outcome.is_well);
    ensure!(!is_well || sent >= cli.requests, "only {sent} requests were sent");
    let verdict = if is_well { "every answer was as documented" } else { "see above" };
    say(&format!("{sent} requests: {verdict}."))?;
    Ok(is_well)
}

/// What became of the requests to an API.
struct Outcome {
    sent: u64,
    is_well: bool,
}

/// Sends at least `share` requests to an API, in rounds, unless a round finds a failure.
async fn send_to(
    api: &Api,
    schemathesis: &Schemathesis,
    seed: u32,
    share: u64,
) -> anyhow::Result<Outcome> {
    let (begun, mut sent, mut rounds) = (Instant::now(), 0, 0);
    while sent < share {
        let round = Round {
            seed: seed.wrapping_add(rounds),
            is_first: rounds == 0,
            examples: (share / 20 + 1).min(EXAMPLES),
        };
        let report = schemathesis.send(api, round).await?;
        ensure!(report.complete && report.test_cases.generated > 0, "{}", report.text);
        rounds += 1;
        sent += report.test_cases.generated;
        if !report.failures.is_empty() || !report.errors.is_empty() {
            tell_failures(api, &report)?;
            return Ok(Outcome { sent, is_well: false });
        }
    }
    let seconds = begun.elapsed().as_secs();
    say(&format!("{}: {sent} requests in {rounds} rounds and {seconds} s", api.name))?;
    Ok(Outcome { sent, is_well: true })
}

fn tell_failures(api: &Api, report: &Report) -> anyhow::Result<()> {
    say(&report.text)?;
    say(&format!("{}: {} requests", api.name, report.test_cases.generated))?;
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

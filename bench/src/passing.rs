//! Events pass through the outbox beside an open transaction: what becomes of the rate?

use anyhow::ensure;
use clap::Args;
use serde_json::json;

use crate::pass::{Open, Passed, pass};
use crate::result::result;
use crate::setup::{RelayArgs, Servers};
use crate::spread::short;

#[derive(Debug, Args)]
pub(crate) struct Passing {
    /// Events that pass through, each of an aggregate of its own
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Measure the same without the open transaction first: how much the rate changes by itself
    #[arg(long)]
    control: bool,
    #[command(flatten)]
    relay: RelayArgs,
}

impl Passing {
    pub(crate) async fn run(self, name: &str, open: Open) -> anyhow::Result<()> {
        ensure!(self.events >= 1_000, "fewer than 1000 events have no tenths to compare");
        let program = self.relay.program()?;
        let servers = Servers::start().await?;
        let control = if self.control {
            eprintln!("events pass with no other transaction open");
            Some(pass(&servers, &program, self.events, Open::Nothing).await?)
        } else {
            None
        };
        eprintln!("events pass beside an open transaction");
        let passed = pass(&servers, &program, self.events, open).await?;
        let ratio = |passed: &Passed| short(passed.tenths[9] / passed.tenths[0]);
        let each = |cpu: std::time::Duration| short(cpu.as_micros() as f64 / self.events as f64);
        result(&json!({
            "measure": name,
            "ratio": ratio(&passed),
            "ratio_without": control.as_ref().map(ratio),
            "events": self.events,
            "relay": program.settings(),
            "per_second_by_tenth": passed.tenths.iter().map(|&rate| short(rate)).collect::<Vec<_>>(),
            "per_second_by_tenth_without": control
                .as_ref()
                .map(|control| control.tenths.iter().map(|&rate| short(rate)).collect::<Vec<_>>()),
            "late_commit_to_arrival_ms": passed.late.map(|late| short(late.as_secs_f64() * 1000.0)),
            "relay_cpu_us_per_message": each(passed.relay_cpu),
            "postgres_cpu_us_per_message": each(passed.postgres_cpu),
            "postgres_cpu_us_per_message_without":
                control.as_ref().map(|control| each(control.postgres_cpu)),
            "relay_peak_mb": short(passed.relay_peak_memory as f64 / 1e6),
        }));
        Ok(())
    }
}

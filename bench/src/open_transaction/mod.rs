//! The rate at which events pass through the outbox while another session keeps a transaction open.

mod throughput;

use anyhow::ensure;
use clap::Args;
use serde_json::json;

use crate::output::print_json;
use crate::setup::{RelayArgs, Servers};
use crate::summary::rounded;
use throughput::{Throughput, measure};

pub(crate) use throughput::OtherSession;

#[derive(Debug, Args)]
pub(crate) struct OpenTransaction {
    /// Events that pass through, each of an aggregate of its own
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Measure the same without the open transaction first: how much the rate changes by itself
    #[arg(long)]
    control: bool,
    #[command(flatten)]
    relay: RelayArgs,
}

impl OpenTransaction {
    pub(crate) async fn run(self, name: &str, other_session: OtherSession) -> anyhow::Result<()> {
        ensure!(self.events >= 1_000, "fewer than 1000 events have no tenths to compare");
        let program = self.relay.program()?;
        let servers = Servers::start().await?;
        let control = if self.control {
            eprintln!("events pass with no other transaction open");
            Some(measure(&servers, &program, self.events, OtherSession::Idle).await?)
        } else {
            None
        };
        eprintln!("events pass beside an open transaction");
        let throughput = measure(&servers, &program, self.events, other_session).await?;
        let ratio = |throughput: &Throughput| rounded(throughput.tenths[9] / throughput.tenths[0]);
        let each = |cpu: std::time::Duration| rounded(cpu.as_micros() as f64 / self.events as f64);
        print_json(&json!({
            "measure": name,
            "ratio": ratio(&throughput),
            "ratio_without": control.as_ref().map(ratio),
            "events": self.events,
            "relay": program.settings(),
            "per_second_by_tenth": throughput.tenths.iter().map(|&rate| rounded(rate)).collect::<Vec<_>>(),
            "per_second_by_tenth_without": control
                .as_ref()
                .map(|control| control.tenths.iter().map(|&rate| rounded(rate)).collect::<Vec<_>>()),
            "late_commit_to_arrival_ms": throughput.late.map(|late| rounded(late.as_secs_f64() * 1000.0)),
            "relay_cpu_us_per_message": each(throughput.relay_cpu),
            "postgres_cpu_us_per_message": each(throughput.postgres_cpu),
            "postgres_cpu_us_per_message_without":
                control.as_ref().map(|control| each(control.postgres_cpu)),
            "relay_peak_mb": rounded(throughput.relay_peak_memory as f64 / 1e6),
        }));
        Ok(())
    }
}

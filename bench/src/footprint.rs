//! Measures the memory, CPU time and statements that a relay uses, idle and with a large backlog.

use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use serde_json::json;
use uuid::Uuid;

use crate::output::print_json;
use crate::setup::{
    Arrivals, Draining, Events, Inserts, Outbox, Queue, RelayArgs, RelayProgram, Servers,
    Statements,
};
use crate::summary::rounded;
use crate::usage::{cpu, memory};

/// A relay's memory limits in megabytes: idle, and under load.
const IDLE_LIMIT_MB: f64 = 15.0;
const BUSY_LIMIT_MB: f64 = 40.0;

/// The size of a large payload as JSON, in bytes.
const BIG: i64 = 1 << 20;

#[derive(Debug, Args)]
pub(crate) struct Footprint {
    /// For how many seconds the idle relay is watched
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    idle: u64,
    /// Small events to drain
    #[arg(long, default_value_t = 1_000_000)]
    small: usize,
    /// Events of a megabyte to drain
    #[arg(long, default_value_t = 300)]
    big: usize,
    #[command(flatten)]
    relay: RelayArgs,
}

impl Footprint {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        ensure!(self.small > 0 && self.big > 0, "there is nothing to measure");
        let program = self.relay.program()?;
        let servers = Servers::start_counting().await?;
        let (outbox, queue) = tokio::try_join!(Outbox::new(&servers), Queue::new(&servers))?;
        self.idle(&servers, &program, &outbox).await?;

        let draining =
            Draining { servers: &servers, outbox: &outbox, queue: &queue, relay: &program };
        eprintln!("{} small events", self.small);
        outbox.clear().await?;
        outbox.fill(Events::distinct(self.small)).await?;
        busy("footprint: small events", self.small, &draining).await?;

        eprintln!("{} events of a megabyte", self.big);
        outbox.clear().await?;
        let fill = include_str!("../sql/fill_big.sql");
        outbox.sql.execute(fill, &[&i64::try_from(self.big)?, &BIG]).await?;
        busy("footprint: events of a megabyte", self.big, &draining).await
    }

    async fn idle(
        &self,
        servers: &Servers,
        program: &RelayProgram,
        outbox: &Outbox,
    ) -> anyhow::Result<()> {
        eprintln!("an idle relay for {} s", self.idle);
        let queue = Queue::new(servers).await?;
        let statements = Statements::of(outbox).await?;
        let arrivals = Arrivals::watch(&queue).await?;
        let relay = program.start(outbox, &queue).await?;
        // The relay is running.
        Inserts::new(outbox).await?.add(Uuid::now_v7()).await?;
        arrivals.until(1, Duration::from_secs(60)).await?;
        let (begun, before) = (Instant::now(), cpu(relay.pid())?);
        let window = statements.watch(Duration::from_secs(self.idle)).await?;
        let used = (cpu(relay.pid())? - before).as_secs_f64() / begun.elapsed().as_secs_f64();
        let megabytes = memory(relay.pid())? as f64 / 1e6;
        relay.stop().await?;
        outbox.check_pending(0).await?;
        print_json(&json!({
            "measure": "footprint: idle",
            "ratio": rounded(megabytes / IDLE_LIMIT_MB),
            "resident_mb": rounded(megabytes),
            "limit_mb": IDLE_LIMIT_MB,
            "cpu_percent_of_a_core": rounded(used * 100.0),
            "statements_per_second": rounded(window.per_second),
            "counted_by": if statements.exact { "pg_stat_statements" } else { "transactions" },
            "seconds": self.idle,
            "relay": program.settings(),
        }));
        Ok(())
    }
}

async fn busy(name: &str, events: usize, draining: &Draining<'_>) -> anyhow::Result<()> {
    draining.outbox.calm().await?;
    let drained = draining.run(events, 0, 0).await?;
    let megabytes = drained.peak_memory as f64 / 1e6;
    print_json(&json!({
        "measure": name,
        "ratio": rounded(megabytes / BUSY_LIMIT_MB),
        "peak_resident_mb": rounded(megabytes),
        "limit_mb": BUSY_LIMIT_MB,
        "events": events,
        "per_second": rounded(drained.per_second),
        "relay": draining.relay.settings(),
    }));
    Ok(())
}

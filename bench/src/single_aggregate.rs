//! Measures the throughput of one aggregate with a long backlog: each event waits for the confirm
//! of the one ahead.

use anyhow::ensure;
use clap::Args;
use serde_json::json;

use crate::bare_publisher::{self, PublisherShape};
use crate::output::print_json;
use crate::setup::{Draining, Events, Outbox, Queue, RelayArgs, Servers};
use crate::summary::Summary;

#[derive(Debug, Args)]
pub(crate) struct SingleAggregate {
    /// Events of the aggregate
    #[arg(long, default_value_t = 20_000)]
    events: usize,
    /// How many times both are measured, in turn
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    #[command(flatten)]
    relay: RelayArgs,
}

impl SingleAggregate {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        ensure!(self.events > 1 && self.rounds > 0, "there is nothing to measure");
        let program = self.relay.program()?;
        let servers = Servers::start().await?;
        let (outbox, queue) = tokio::try_join!(Outbox::new(&servers), Queue::new(&servers))?;
        let draining =
            Draining { servers: &servers, outbox: &outbox, queue: &queue, relay: &program };
        let (mut bares, mut relays, mut cpus, mut duplicates) = (vec![], vec![], vec![], 0);
        let mut bare_cpus = vec![];
        for round in 1..=self.rounds {
            // Half of the bare publisher's messages before and half after, so that a change of the
            // machine's speed affects both.
            let half = self.events / 2;
            let mut bare_half = async || {
                eprintln!("round {round} of {}: bare publisher", self.rounds);
                let bare =
                    bare_publisher::publish(&queue.url, PublisherShape::ONE_AT_A_TIME, half, 0)
                        .await?;
                queue.purge(half).await?;
                bare_cpus.push(bare.cpu.as_micros() as f64 / half as f64);
                anyhow::Ok(bare.per_second)
            };
            let before = bare_half().await?;
            eprintln!("round {round} of {}: relay", self.rounds);
            outbox.clear().await?;
            outbox.fill(Events::of_one_aggregate(self.events)).await?;
            outbox.calm().await?;
            let drained = draining.run(self.events, 0, 0).await?;
            let after = bare_half().await?;
            // The rate over both halves.
            bares.push(2.0 / (1.0 / before + 1.0 / after));
            relays.push(drained.per_second);
            cpus.push(drained.relay_cpu.as_micros() as f64 / self.events as f64);
            duplicates += drained.duplicates;
        }
        let ratios = relays.iter().zip(&bares).map(|(relay, bare)| relay / bare);
        print_json(&json!({
            "measure": "hot",
            "ratio": ratios.collect::<Summary>().json(),
            "events": self.events,
            "rounds": self.rounds,
            "relay": program.settings(),
            "bare_one_at_a_time_per_second": bares.into_iter().collect::<Summary>().json(),
            "relay_per_second": relays.into_iter().collect::<Summary>().json(),
            "bare_cpu_us_per_message": bare_cpus.into_iter().collect::<Summary>().json(),
            "relay_cpu_us_per_message": cpus.into_iter().collect::<Summary>().json(),
            "duplicates": duplicates,
        }));
        Ok(())
    }
}

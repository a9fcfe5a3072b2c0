//! Measures how fast the relay publishes a backlog.

use anyhow::ensure;
use clap::Args;
use serde_json::json;

use crate::bare_publisher::{self, Handover, Published, PublisherShape};
use crate::output::print_json;
use crate::setup::{Drained, Draining, Events, Outbox, Queue, RelayArgs, Servers};
use crate::summary::{Summary, rounded};
use crate::usage::cpu;

/// The relay's defaults.
const RELAY_WINDOW: usize = 500;
const RELAY_CHANNELS: usize = 4;

#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// Events in the backlog, each of an aggregate of its own
    #[arg(long, default_value_t = 200_000)]
    events: usize,
    /// How many times all are measured, in turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Of each hundred events, how many no queue is bound for
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    unroutable_percent: u32,
    /// Bare publishers to compare with besides those that have the relay's windows, as
    /// CONNECTIONSxCHANNELSxWINDOW or CONNECTIONSxCHANNELSxWINDOW-together; each is a limit with a
    /// result of its own
    #[arg(long, value_delimiter = ',', default_value = "1x1x1000", value_name = "SHAPE")]
    bare: Vec<PublisherShape>,
    #[command(flatten)]
    relay: RelayArgs,
}

/// The results of a limit, and of the relay in the same rounds.
#[derive(Debug, Default)]
struct Limit {
    bare: Vec<Published>,
    rabbit_cpu: Vec<std::time::Duration>,
    ratios: Vec<f64>,
}

impl Drain {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        ensure!(self.events > 0 && self.rounds > 0, "there is nothing to measure");
        let program = self.relay.program()?;
        let servers = Servers::start().await?;
        let (outbox, queue) = tokio::try_join!(Outbox::new(&servers), Queue::new(&servers))?;
        let events =
            Events { unroutable_percent: self.unroutable_percent, ..Events::distinct(self.events) };
        let unroutable = events.unroutable();
        let draining =
            Draining { servers: &servers, outbox: &outbox, queue: &queue, relay: &program };

        let shapes: Vec<PublisherShape> = self.shapes();
        let mut limits: Vec<Limit> = shapes.iter().map(|_| Limit::default()).collect();
        let mut drained: Vec<Drained> = Vec::new();
        for round in 0..self.rounds {
            // Each runs first equally often, as the first may slow down the second.
            for relay_is_next in if round % 2 == 0 { [false, true] } else { [true, false] } {
                if relay_is_next {
                    eprintln!("round {} of {}: relay", round + 1, self.rounds);
                    outbox.clear().await?;
                    outbox.fill(events).await?;
                    outbox.calm().await?;
                    drained.push(draining.run(self.events - unroutable, unroutable, 0).await?);
                    continue;
                }
                for (limit, &bare) in limits.iter_mut().zip(&shapes) {
                    eprintln!("round {} of {}: bare publisher", round + 1, self.rounds);
                    let percent = self.unroutable_percent;
                    let rabbit = cpu(servers.rabbit_pid()?)?;
                    limit.bare.push(
                        bare_publisher::publish(&queue.url, bare, self.events, percent).await?,
                    );
                    limit.rabbit_cpu.push(cpu(servers.rabbit_pid()?)? - rabbit);
                    queue.purge(self.events - unroutable).await?;
                }
            }
            for limit in &mut limits {
                limit.ratios.push(drained[round].per_second / limit.bare[round].per_second);
            }
        }

        for (limit, &PublisherShape { connections, channels, window, handover }) in
            limits.iter().zip(&shapes)
        {
            let ratios: Summary = limit.ratios.iter().copied().collect();
            let bare: Summary = limit.bare.iter().map(|bare| bare.per_second).collect();
            let bare_cpu: Summary =
                limit.bare.iter().map(|bare| self.each(bare.cpu.as_micros() as f64)).collect();
            let bare_rabbit_cpu: Summary =
                limit.rabbit_cpu.iter().map(|cpu| self.each(cpu.as_micros() as f64)).collect();
            let each = |of: fn(&Drained) -> std::time::Duration| {
                let values = drained.iter().map(|run| self.each(of(run).as_micros() as f64));
                values.collect::<Summary>().json()
            };
            print_json(&json!({
                "measure": "drain",
                "ratio": ratios.json(),
                "events": self.events,
                "unroutable_percent": self.unroutable_percent,
                "rounds": self.rounds,
                "bare": {
                    "connections": connections,
                    "channels": channels,
                    "window": window,
                    "handed_over": handover.name(),
                },
                "relay": program.settings(),
                "bare_per_second": bare.json(),
                "relay_per_second":
                    drained.iter().map(|run| run.per_second).collect::<Summary>().json(),
                "relay_cpu_us_per_message": each(|run| run.relay_cpu),
                "bare_cpu_us_per_message": bare_cpu.json(),
                "bare_rabbitmq_cpu_us_per_message": bare_rabbit_cpu.json(),
                "postgres_cpu_us_per_message": each(|run| run.postgres_cpu),
                "rabbitmq_cpu_us_per_message": each(|run| run.rabbit_cpu),
                "relay_peak_mb": rounded(
                    drained.iter().map(|run| run.peak_memory).max().unwrap_or(0) as f64 / 1e6
                ),
                "duplicates": drained.iter().map(|run| run.duplicates).sum::<usize>(),
            }));
        }
        Ok(())
    }

    /// The bare publishers: with the relay's windows and each handover, then those given as
    /// arguments.
    fn shapes(&self) -> Vec<PublisherShape> {
        let window = self.relay.window.unwrap_or(RELAY_WINDOW);
        let channels = self.relay.channels.unwrap_or(RELAY_CHANNELS);
        let as_the_relay = [Handover::InTurn, Handover::Together].map(|handover| PublisherShape {
            connections: 1,
            channels,
            window,
            handover,
        });
        as_the_relay.into_iter().chain(self.bare.iter().copied()).collect()
    }

    fn each(&self, total: f64) -> f64 {
        total / self.events as f64
    }
}

//! Measures how much a long backlog of one failing aggregate slows down the others.

use anyhow::ensure;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::output::print_json;
use crate::setup::{Drained, Draining, Events, Outbox, Queue, RelayArgs, Servers};
use crate::summary::Summary;

#[derive(Debug, Args)]
pub(crate) struct FailingAggregate {
    /// Events of the aggregate that is held back
    #[arg(long, default_value_t = 200_000)]
    held: usize,
    /// Events of the others, each of an aggregate of its own
    #[arg(long, default_value_t = 200_000)]
    events: usize,
    /// Where the failing aggregate's events stand
    #[arg(long, value_enum, default_value_t = Place::Ahead)]
    place: Place,
    /// How many times both are measured, in turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[command(flatten)]
    relay: RelayArgs,
}

/// The position of the failing aggregate's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Place {
    /// All were written before the others
    Ahead,
    /// They were written at the same time, in turn with the others
    Among,
}

impl FailingAggregate {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        ensure!(self.held > 0 && self.events > 0 && self.rounds > 0, "there is nothing to measure");
        let program = self.relay.program()?;
        let servers = Servers::start().await?;
        let (outbox, queue) = tokio::try_join!(Outbox::new(&servers), Queue::new(&servers))?;
        let draining =
            Draining { servers: &servers, outbox: &outbox, queue: &queue, relay: &program };
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for round in 0..self.rounds {
            for held in if round % 2 == 0 { [0, self.held] } else { [self.held, 0] } {
                eprintln!("round {} of {}: {held} events held back", round + 1, self.rounds);
                outbox.clear().await?;
                self.fill(&outbox, held).await?;
                outbox.calm().await?;
                let drained = draining.run(self.events, 0, held).await?;
                if held == 0 { &mut without } else { &mut with }.push(drained);
            }
        }
        let ratios =
            with.iter().zip(&without).map(|(with, without)| with.per_second / without.per_second);
        let rates =
            |runs: &[Drained]| runs.iter().map(|run| run.per_second).collect::<Summary>().json();
        let cpu = |runs: &[Drained]| {
            let each = |run: &Drained| run.postgres_cpu.as_micros() as f64 / self.events as f64;
            runs.iter().map(each).collect::<Summary>().json()
        };
        print_json(&json!({
            "measure": "held",
            "ratio": ratios.collect::<Summary>().json(),
            "held": self.held,
            "place": if self.place == Place::Ahead { "ahead" } else { "among" },
            "events": self.events,
            "rounds": self.rounds,
            "relay": program.settings(),
            "per_second_without": rates(&without),
            "per_second_with": rates(&with),
            "postgres_cpu_us_per_message_without": cpu(&without),
            "postgres_cpu_us_per_message_with": cpu(&with),
        }));
        Ok(())
    }

    async fn fill(&self, outbox: &Outbox, held: usize) -> anyhow::Result<()> {
        let parts = if self.place == Place::Ahead { 1 } else { 100 };
        let part = |all: usize, number: usize| all * (number + 1) / parts - all * number / parts;
        for number in 0..parts {
            outbox.fill(Events::failing(part(held, number))).await?;
            outbox.fill(Events::distinct(part(self.events, number))).await?;
        }
        Ok(())
    }
}

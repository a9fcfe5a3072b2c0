//! Measures how fast `outbox-relay dead-letters collect` turns a dead-letter queue into rows.

mod dead_letter_queue;
mod desk;
mod run;

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::json;

use crate::consume::{setting, take};
use crate::output::print_json;
use crate::setup::Servers;
use crate::summary::{Summary, rounded};

pub(crate) use dead_letter_queue::DeadLetterQueue;
pub(crate) use desk::Desk;
pub(crate) use run::{Collected, collect};

#[derive(Debug, Args)]
pub(crate) struct Collect {
    /// Dead letters that wait
    #[arg(long, default_value_t = 100_000)]
    messages: usize,
    /// Length of each body, instead of an event's; the collector's memory is the figure to look at
    #[arg(long, value_name = "BYTES")]
    body: Option<usize>,
    /// How many times all are measured, in turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Prefetch of the bare consumer, which acknowledges each quarter of it
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u16).range(4..))]
    bare_prefetch: u16,
    /// Any setting of the collector, as often as you like
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// The program to measure instead of the checkout's, say that of an older version
    #[arg(long, value_name = "PATH")]
    relay: Option<PathBuf>,
}

impl Collect {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        ensure!(self.messages > 0 && self.rounds > 0, "there is nothing to measure");
        let program = match &self.relay {
            Some(path) => path.clone(),
            None => stack::build(&["outbox-relay"], &["--release".to_owned()])?
                .remove("outbox-relay")
                .context("cargo built no outbox-relay")?,
        };
        let servers = Servers::start().await?;
        let (desk, queue) = tokio::try_join!(Desk::new(&servers), DeadLetterQueue::new(&servers))?;

        let (mut bare, mut copied, mut collected) =
            (Vec::new(), Vec::new(), Vec::<Collected>::new());
        for round in 0..self.rounds {
            let say = |what: &str| eprintln!("round {} of {}: {what}", round + 1, self.rounds);
            say("publishing");
            queue.publish(self.messages, self.body).await?;
            // Each runs first equally often, as the first may slow down the second.
            for ours_is_next in if round % 2 == 0 { [false, true] } else { [true, false] } {
                if ours_is_next {
                    say("collector");
                    desk.clear().await?;
                    let (settings, messages) = (&self.settings, self.messages);
                    collected.push(
                        collect(&servers, &program, settings, &desk, &queue, messages).await?,
                    );
                    say("COPY");
                    copied.push(desk.copy().await?);
                } else {
                    say("bare consumer");
                    bare.push(take(&queue.url, self.bare_prefetch, self.messages).await?);
                }
            }
        }

        let ratio = |limits: &mut dyn Iterator<Item = f64>| {
            let ratios = collected.iter().zip(limits).map(|(ours, limit)| ours.per_second / limit);
            ratios.collect::<Summary>().json()
        };
        let each = |of: fn(&Collected) -> std::time::Duration| {
            let values =
                collected.iter().map(|run| of(run).as_micros() as f64 / self.messages as f64);
            values.collect::<Summary>().json()
        };
        print_json(&json!({
            "measure": "collect",
            "ratio": ratio(&mut bare.iter().map(|bare| bare.per_second)),
            "ratio_to_copy": ratio(&mut copied.iter().copied()),
            "messages": self.messages,
            "body": self.body,
            "rounds": self.rounds,
            "collector": self.settings.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "bare_prefetch": self.bare_prefetch,
            "bare_per_second": bare.iter().map(|bare| bare.per_second).collect::<Summary>().json(),
            "copy_per_second": copied.iter().copied().collect::<Summary>().json(),
            "collector_per_second":
                collected.iter().map(|run| run.per_second).collect::<Summary>().json(),
            "collector_cpu_us_per_message": each(|run| run.cpu),
            "postgres_cpu_us_per_message": each(|run| run.postgres_cpu),
            "rabbitmq_cpu_us_per_message": each(|run| run.rabbit_cpu),
            "collector_peak_mb":
                rounded(collected.iter().map(|run| run.peak_memory).max().unwrap_or(0) as f64 / 1e6),
        }));
        Ok(())
    }
}

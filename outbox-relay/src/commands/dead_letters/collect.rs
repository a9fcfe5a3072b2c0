//! `dead-letters collect`: moves the messages of a dead-letter queue into the table.

use std::process::ExitCode;

use clap::Args;
use service_kit::{ops, process};

use crate::commands::outcome::Outcome;
use crate::commands::output::{self, escape};
use crate::config::CollectorConfig;
use crate::dead_letters::{self, Collected};

/// Arguments of `dead-letters collect`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  outbox-relay dead-letters collect --queue customer.orders_count.dlq\n  outbox-relay dead-letters collect --queue billing_error --return-to billing --follow"
)]
pub struct CollectArgs {
    /// Go on collecting until stopped, and serve OPS_ADDR
    #[arg(long)]
    pub(super) follow: bool,
    /// Print one JSON document
    #[arg(long, conflicts_with = "follow")]
    json: bool,
    #[command(flatten)]
    config: CollectorConfig,
}

impl CollectArgs {
    /// Collects until the process is stopped.
    pub(super) fn run_process(self) -> ExitCode {
        let process = self.config.process.clone();
        process::run_single_threaded("dead-letters", &process, |shutdown| async move {
            let listener = ops::bind(&self.config.ops_addr, "OPS_ADDR").await?;
            dead_letters::follow(self.config, listener, shutdown).await
        })
    }

    /// Collects what is in the queue now.
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let queue = self.config.collect.queue.clone();
        let collected = Box::pin(dead_letters::collect_once(&self.config)).await?;
        if self.json {
            output::json(&collected)?;
        } else {
            output::text(&summary(&collected, &queue))?;
        }
        Ok(if collected.refused.is_empty() { Outcome::Ok } else { Outcome::Problems })
    }
}

fn summary(collected: &Collected, queue: &str) -> String {
    let queue = escape::line(queue);
    let Collected { stored, known, refused, is_incomplete } = collected;
    let mut page = format!("Collected from {queue}: {stored}\n");
    if *known > 0 {
        page.push_str(&format!("Already collected, and acknowledged now: {known}\n"));
    }
    for message in refused {
        page.push_str(&format!(
            "Refused by the database, and still in the queue: {}\n",
            escape::line(message)
        ));
    }
    if *is_incomplete {
        page.push_str("So many were refused that the others were left in the queue\n");
    }
    page
}

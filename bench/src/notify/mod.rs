//! Measures LISTEN/NOTIFY without a relay: `cost` is what a notifying trigger costs the writers,
//! `latency` compares a listener with a poller.

mod cost;
mod latency;
mod listener;
mod poller;

use clap::Args;

use crate::setup::{Outbox, Servers};

#[derive(Debug, Args)]
pub(crate) struct Notify {
    /// Seconds of each run of pgbench
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// How many times pgbench measures with and without the trigger, in turn
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Clients of pgbench; several numbers are several results
    #[arg(long, value_delimiter = ',', default_value = "1,8,32")]
    clients: Vec<u32>,
    /// Events whose latency is measured, at each of two paces
    #[arg(long, default_value_t = 100)]
    events: u32,
}

impl Notify {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let servers = Servers::start().await?;
        let outbox = Outbox::new(&servers).await?;
        outbox.sql.batch_execute(include_str!("../../sql/notify_trigger.sql")).await?;
        for &clients in &self.clients {
            cost::measure(&outbox, clients, self.seconds, self.rounds).await?;
        }
        latency::measure(&outbox, self.events).await
    }
}

//! Measures how long the console's pages take on large tables, and what consoles that are open cost
//! a relay.
//!
//! `databases` fills the tables and starts the console; `pages` lists the pages; `browsers` looks
//! at them as `console.js` does; `measure` runs all that in turn; `report` prints it.

mod browsers;
mod databases;
mod measure;
mod pages;
mod report;

use anyhow::ensure;
use clap::Args;

use crate::setup::{RelayArgs, Servers};
use databases::Sizes;
use measure::measure;

#[derive(Debug, Args)]
pub(crate) struct Console {
    /// Pending events, of which one in ten is held back by a failure [default: 1000000]
    #[arg(long, value_parser = clap::value_parser!(i64).range(1000..))]
    pending: Option<i64>,
    /// Published events in the table [default: 10000000]
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    published: Option<i64>,
    /// Dead letters [default: 1000000]
    #[arg(long, value_parser = clap::value_parser!(i64).range(1000..))]
    dead_letters: Option<i64>,
    /// Consoles that are open: browsers with a page of one console process
    #[arg(long, default_value_t = 10)]
    open: usize,
    /// How many times each page is timed beside them [default: 20]
    #[arg(long)]
    looks: Option<usize>,
    /// How many times a drain with and without open consoles is measured, in turn [default: 3]
    #[arg(long)]
    rounds: Option<usize>,
    /// A tenth of the rows and of the looks: five minutes
    #[arg(long)]
    quick: bool,
    /// Print the figures as JSON instead of the table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    relay: RelayArgs,
}

impl Console {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let usual = if self.quick { Sizes::quick() } else { Sizes::usual() };
        let sizes = Sizes {
            pending: self.pending.unwrap_or(usual.pending),
            published: self.published.unwrap_or(usual.published),
            dead_letters: self.dead_letters.unwrap_or(usual.dead_letters),
            open: self.open,
            looks: self.looks.unwrap_or(usual.looks),
            rounds: self.rounds.unwrap_or(usual.rounds),
        };
        ensure!(sizes.looks > 0 && sizes.rounds > 0, "there is nothing to measure");
        let program = self.relay.program()?;
        let servers = Servers::start().await?;
        let measured = measure(&servers, &program, sizes, |text| eprintln!("{text}")).await?;
        measured.print(sizes, &program, self.json);
        Ok(())
    }
}

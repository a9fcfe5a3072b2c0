//! `status`: prints the state of the outbox.
//!
//! `snapshot` reads it, `rate` measures what is published, `page` lays it out.

mod page;
mod queries;
mod rate;
mod snapshot;

use std::time::Duration;

use clap::Args;
use service_kit::config::duration_between;
use tokio::time::sleep;

use super::args::ConnectionArgs;
use super::outcome::Outcome;
use super::output;
use super::session::Access;
use snapshot::Snapshot;

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outbox-relay status --watch 5s")]
pub struct StatusArgs {
    /// Print the status again after each DURATION, 2s by default
    #[arg(
        long,
        num_args = 0..=1,
        default_missing_value = "2s",
        value_parser = duration_between(Duration::from_millis(100), Duration::from_hours(1)),
        value_name = "DURATION"
    )]
    watch: Option<Duration>,
    /// Print one JSON document, or one per line with --watch
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl StatusArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let session = self.connection.open("status", Access::Read).await?;
        loop {
            let snapshot = Snapshot::read(&session).await?;
            match (self.watch, self.json) {
                (None, true) => output::json(&snapshot)?,
                (Some(_), true) => output::json_lines(&[snapshot])?,
                (None, false) => output::text(&page::render(&snapshot))?,
                (Some(_), false) => output::text(&format!("{CLEAR}{}", page::render(&snapshot)))?,
            }
            let Some(interval) = self.watch else {
                return Ok(Outcome::Ok);
            };
            sleep(interval).await;
        }
    }
}

/// Clears a terminal; left out elsewhere.
const CLEAR: &str = "\x1b[H\x1b[2J";

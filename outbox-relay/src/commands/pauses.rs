//! `pauses`: lists what is paused.

use clap::Args;

use super::args::ConnectionArgs;
use super::outcome::Outcome;
use super::paused::{self, ActivePause};
use super::session::Access;
use super::{output, queries};

/// Arguments of `pauses`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outbox-relay pauses")]
pub struct PausesArgs {
    /// Print JSON, one pause per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl PausesArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let session = self.connection.open("pauses", Access::Read).await?;
        let pauses: Vec<ActivePause> = queries::list_pauses(&session).await?;
        if self.json {
            output::json_lines(&pauses)?;
        } else if pauses.is_empty() {
            output::text("Nothing is paused.\n")?;
        } else {
            output::text(&paused::table(&pauses))?;
        }
        Ok(Outcome::Ok)
    }
}

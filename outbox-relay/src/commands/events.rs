//! `events`: lists events.

use clap::Args;

use super::args::{BlockingArgs, ConnectionArgs, FilterArgs, TimeArg};
use super::event::{self, Event};
use super::outcome::Outcome;
use super::queries::Filter;
use super::session::Access;
use super::{output, queries};

/// Arguments of `events`.
#[derive(Debug, Args)]
#[command(
    after_help = "Pending and stuck events are listed oldest first, all others newest first. One that is behind 17 is held back by \
                  event 17 of its aggregate, which failed.",
    after_long_help = "Pending and stuck events are listed oldest first, all others newest first. One that is behind 17 is held back \
                       by event 17 of its aggregate, which failed. With --json each event is a JSON object on a line of its own."
)]
pub struct EventsArgs {
    /// Only events that are not published yet, stuck ones among them
    #[arg(long, group = "state")]
    pending: bool,
    /// Only events that no relay tries again by itself
    #[arg(long, group = "state")]
    stuck: bool,
    /// Only events that are published
    #[arg(long, group = "state")]
    published: bool,
    #[command(flatten)]
    filter: FilterArgs,
    /// Only events created since: so long ago (90m, 7d) or a time (2026-02-01T22:25:31Z)
    #[arg(long, value_name = "WHEN")]
    since: Option<TimeArg>,
    /// How many at the most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    limit: u32,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    blocking: BlockingArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl EventsArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let session = self.connection.open("events", Access::Read).await?;
        let since = match self.since {
            Some(since) => Some(since.resolve(&session).await?),
            None => None,
        };
        let filter = Filter { since, ..self.filter.into() };
        let holding = self.blocking.into();
        let events: Vec<Event> = if self.pending || self.stuck {
            queries::list_pending(&session, self.stuck, &filter, self.limit, holding).await?
        } else {
            queries::list_events(&session, self.published, &filter, self.limit, holding).await?
        };
        if self.json {
            output::json_lines(&events)?;
            return Ok(Outcome::Ok);
        }
        if events.is_empty() {
            output::note("No such events.");
            return Ok(Outcome::Ok);
        }
        output::text(&event::table(&events))?;
        if u32::try_from(events.len()) == Ok(self.limit) {
            output::note(&format!("There may be more than these {}: see --limit.", self.limit));
        }
        Ok(Outcome::Ok)
    }
}

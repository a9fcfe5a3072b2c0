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
#[command(after_help = "Example:\n  outbox-relay events --pending --type order.created --since 1h")]
pub struct EventsArgs {
    /// Only pending events, including stuck ones
    #[arg(long, group = "state")]
    pending: bool,
    /// Only stuck events, which the relays have given up
    #[arg(long, group = "state")]
    stuck: bool,
    /// Only published events
    #[arg(long, group = "state")]
    published: bool,
    #[command(flatten)]
    filter: FilterArgs,
    /// Only events created since this time: an age (90m, 7d) or a date (2026-02-01T22:25:31Z)
    #[arg(long, value_name = "WHEN")]
    since: Option<TimeArg>,
    /// The maximum number of events
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    limit: u32,
    /// Print one JSON object per line
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
            output::note("No events match.");
            return Ok(Outcome::Ok);
        }
        output::text(&event::table(&events))?;
        if u32::try_from(events.len()) == Ok(self.limit) {
            output::note(&format!(
                "There may be more than these {} events: raise --limit.",
                self.limit
            ));
        }
        Ok(Outcome::Ok)
    }
}

//! `events`: lists events.

use clap::Args;

use super::args::{BlockingArgs, ConnectionArgs, CreatedArgs, FilterArgs};
use super::event::{self, Event};
use super::outcome::Outcome;
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
    #[command(flatten)]
    created: CreatedArgs,
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
        let filter = self.created.add_to(self.filter.filter(&session)?, &session).await?;
        let holding = self.blocking.into();
        // A published event has failed no more.
        let is_pending = self.pending || self.stuck || (filter.names_cause() && !self.published);
        let events: Vec<Event> = if is_pending {
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

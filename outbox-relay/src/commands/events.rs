//! `events`: a list of events.

use clap::Args;

use super::event::{self, Event};
use super::holding::HoldingArgs;
use super::moment::Moment;
use super::selection::{Filter, Selection};
use super::session::Purpose;
use super::target::Target;
use super::{End, print, queries};

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
    selection: Selection,
    /// Only events created since: so long ago (90m, 7d) or a time (2026-02-01T22:25:31Z)
    #[arg(long, value_name = "WHEN")]
    since: Option<Moment>,
    /// How many at the most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    limit: u32,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    holding: HoldingArgs,
    #[command(flatten)]
    target: Target,
}

impl EventsArgs {
    pub(super) async fn run(self) -> anyhow::Result<End> {
        let session = self.target.open("events", Purpose::Look).await?;
        let since = match self.since {
            Some(moment) => Some(moment.resolve(&session).await?),
            None => None,
        };
        let filter = Filter { since, ..self.selection.into() };
        let holding = self.holding.into();
        let events: Vec<Event> = if self.pending || self.stuck {
            queries::list_pending(&session, self.stuck, &filter, self.limit, holding).await?
        } else {
            queries::list_events(&session, self.published, &filter, self.limit, holding).await?
        };
        if self.json {
            print::json_lines(&events)?;
            return Ok(End::Well);
        }
        if events.is_empty() {
            print::aside("No such events.");
            return Ok(End::Well);
        }
        print::text(&event::table(&events))?;
        if u32::try_from(events.len()) == Ok(self.limit) {
            print::aside(&format!("There may be more than these {}: see --limit.", self.limit));
        }
        Ok(End::Well)
    }
}

//! `events`: lists events.

use clap::Args;

use super::args::{BlockingArgs, ConnectionArgs, CreatedArgs, FilterArgs, PageArgs};
use super::event::{self, Event};
use super::outcome::Outcome;
use super::paging::Page;
use super::queries::HeldBack;
use super::session::{Access, Session};
use super::{output, queries};

/// Arguments of `events`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  outbox-relay events --pending --type order.created --since 1h\n  outbox-relay events --stuck --after 4711"
)]
pub struct EventsArgs {
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    created: CreatedArgs,
    #[command(flatten)]
    page: PageArgs,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    blocking: BlockingArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Arguments that select events by their state.
#[derive(Debug, Clone, Copy, Args)]
#[group(id = "state", multiple = false)]
struct StateArgs {
    /// Only pending events, including stuck ones
    #[arg(long)]
    pending: bool,
    /// Only events that failed and wait for their next attempt, the next one first
    #[arg(long)]
    waiting: bool,
    /// Only events whose time, set by their writer, has not come, the next one first
    #[arg(long, conflicts_with_all = ["kind", "fingerprint"])]
    scheduled: bool,
    /// Only stuck events, which the relays have given up
    #[arg(long)]
    stuck: bool,
    /// Only events that their writer has parked, until an operator decides
    #[arg(long, conflicts_with_all = ["kind", "fingerprint"])]
    parked: bool,
    /// Only published events
    #[arg(long)]
    published: bool,
}

impl StateArgs {
    const fn held_back(self) -> Option<HeldBack> {
        match self {
            Self { waiting: true, .. } => Some(HeldBack::Waiting),
            Self { scheduled: true, .. } => Some(HeldBack::Scheduled),
            Self { stuck: true, .. } => Some(HeldBack::Stuck),
            Self { parked: true, .. } => Some(HeldBack::Parked),
            _ => None,
        }
    }
}

impl EventsArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let session = self.connection.open("events", Access::Read).await?;
        let page = self.find(&session).await?;
        if self.json {
            output::json_lines(&page.rows)?;
        } else if !page.rows.is_empty() {
            output::text(&event::table(&page.rows))?;
        } else if page.next.is_none() {
            output::note("No events match.");
        }
        page.note_more(self.page.size(), "events");
        Ok(Outcome::Ok)
    }

    /// Reads the page, with the statement whose index has the order.
    async fn find(&self, session: &Session) -> anyhow::Result<Page<Event>> {
        let filter = self.created.add_to(self.filter.filter(session)?, session).await?;
        let (after, size, holding) =
            (self.page.after.as_ref(), self.page.size(), self.blocking.into());
        let StateArgs { pending, published, .. } = self.state;
        let held_back = self.state.held_back();
        // A published event has failed no more.
        if filter.names_cause() && !published {
            return queries::page_by_cause(session, held_back, &filter, after, size, holding).await;
        }
        match held_back {
            Some(state) => {
                queries::page_held_back(session, state, &filter, after, size, holding).await
            }
            None if pending => queries::page_pending(session, &filter, after, size, holding).await,
            None => queries::page_newest(session, published, &filter, after, size, holding).await,
        }
    }
}

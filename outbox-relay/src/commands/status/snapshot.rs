//! What `status` prints: the state of the outbox at one moment.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::queries;
use super::rate::{self, Rate};
use crate::commands::event::Event;
use crate::commands::paging::{Page, PageSize};
use crate::commands::paused::ActivePause;
use crate::commands::queries::{
    Filter, HeldBack, list_pauses, list_relays, list_unsettled, page_held_back,
};
use crate::commands::session::Session;
use crate::database::queries::BlockingPolicy;

/// Counting stops at this number of events.
pub(super) const COUNT_LIMIT: i64 = 100_000;

/// How many stuck events are listed; `events --stuck` lists more.
const STUCK: PageSize = PageSize::new(10, 0);

/// The number of lanes.
const LANES: usize = 64;

/// A stuck event needs a person, whatever is ahead of it: no earlier event is looked for.
const HOLDING: BlockingPolicy = BlockingPolicy { ordered: false, stuck_holds: false };

/// The state of the outbox.
#[derive(Debug, Serialize)]
pub(super) struct Snapshot {
    pub(super) table: String,
    pub(super) backlog: Backlog,
    pub(super) published_last_minute: Rate,
    pub(super) relays: Vec<Relay>,
    pub(super) lanes: Lanes,
    /// The oldest ones.
    pub(super) stuck: Vec<Event>,
    pub(super) unsettled: Vec<Unsettled>,
    /// What is not published for now.
    pub(super) pauses: Vec<ActivePause>,
}

/// Unsettled events of one outcome and kind, with the oldest as an example.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Unsettled {
    /// `published`, or `expired`: past its retention.
    pub(super) outcome: String,
    /// `locked` or `refused`.
    pub(super) kind: String,
    pub(super) events: i64,
    pub(super) since: String,
    pub(super) event_id: Uuid,
    pub(super) reason: Option<String>,
}

/// The pending events. Each number is counted up to [`COUNT_LIMIT`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Backlog {
    pub(super) pending: i64,
    pub(super) waiting: i64,
    pub(super) scheduled: i64,
    pub(super) stuck: i64,
    pub(super) parked: i64,
    pub(super) oldest: Option<Oldest>,
}

/// The pending event with the lowest id.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Oldest {
    pub(super) event_id: Uuid,
    pub(super) aggregate_type: String,
    pub(super) aggregate_id: String,
    pub(super) event_type: String,
    pub(super) created_at: String,
    pub(super) age_seconds: Option<f64>,
}

/// An active relay.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Relay {
    /// The pid of its server process.
    pub(super) pid: i32,
    /// Its `application_name`.
    pub(super) name: Option<String>,
    /// None for a local connection, or if the role may not see it.
    pub(super) address: Option<String>,
    pub(super) connected_at: Option<String>,
    pub(super) lanes: Vec<u8>,
}

/// How many lanes a relay owns.
#[derive(Debug, Serialize)]
pub(super) struct Lanes {
    pub(super) owned: usize,
    pub(super) of: usize,
}

impl Snapshot {
    /// Reads the state of the outbox. Each part is a statement of its own.
    pub(super) async fn read(session: &Session) -> anyhow::Result<Self> {
        let relays: Vec<Relay> = list_relays(session).await?;
        let stuck: Page<Event> =
            page_held_back(session, HeldBack::Stuck, &Filter::default(), None, STUCK, HOLDING)
                .await?;
        let owned = relays.iter().map(|relay| relay.lanes.len()).sum();
        Ok(Self {
            table: session.table().to_string(),
            backlog: queries::count_backlog(session, COUNT_LIMIT).await?,
            published_last_minute: rate::measure(session).await?,
            lanes: Lanes { owned, of: LANES },
            relays,
            unsettled: list_unsettled(session).await?,
            pauses: list_pauses(session).await?,
            stuck: stuck.rows,
        })
    }
}

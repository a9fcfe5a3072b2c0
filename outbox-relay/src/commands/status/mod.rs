//! `status`: how the outbox does.

mod page;
mod rate;

use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use service_kit::config::duration_between;
use tokio::time::sleep;
use uuid::Uuid;

use super::event::Event;
use super::selection::Filter;
use super::session::{Purpose, Session};
use super::target::Target;
use super::{End, print, queries};
use crate::database::queries::BlockingPolicy;
use rate::Rate;

/// Where counting ends.
const MOST: i64 = 1_000_000;

/// Stuck events that are listed; `events --stuck` lists more.
const STUCK_LISTED: u32 = 10;

/// Lanes there are.
const LANES: usize = 64;

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show it again and again, with this pause
    #[arg(
        long,
        num_args = 0..=1,
        default_missing_value = "2s",
        value_parser = duration_between(Duration::from_millis(100), Duration::from_hours(1)),
        value_name = "DURATION"
    )]
    watch: Option<Duration>,
    /// One JSON document; with --watch, one a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// How the outbox does.
#[derive(Debug, Serialize)]
struct Status {
    table: String,
    backlog: Backlog,
    published_last_minute: Rate,
    relays: Vec<Relay>,
    lanes: Lanes,
    /// The first few.
    stuck: Vec<Event>,
    /// Events whose rows can't be changed.
    unsettled: Vec<Unsettled>,
}

/// Events whose rows can't be changed for the same reason, with the longest known as an example.
#[derive(Debug, Serialize, Deserialize)]
struct Unsettled {
    /// `published`, or `expired`: it can't be deleted at the end of its retention.
    outcome: String,
    /// `locked` or `refused`.
    kind: String,
    events: i64,
    since: String,
    event_id: Uuid,
    reason: Option<String>,
}

/// What is not published yet; each number ends at [`MOST`].
#[derive(Debug, Serialize, Deserialize)]
struct Backlog {
    pending: i64,
    waiting: i64,
    stuck: i64,
    oldest: Option<Oldest>,
}

/// The pending event with the lowest id.
#[derive(Debug, Serialize, Deserialize)]
struct Oldest {
    event_id: Uuid,
    aggregate_type: String,
    aggregate_id: String,
    event_type: String,
    created_at: String,
    age_seconds: Option<f64>,
}

/// A relay at work.
#[derive(Debug, Serialize, Deserialize)]
struct Relay {
    /// The process of its session at the server.
    pid: i32,
    /// The session's `application_name`.
    name: Option<String>,
    /// None also when the role may not see it.
    address: Option<String>,
    connected_at: Option<String>,
    lanes: Vec<u8>,
}

/// How many lanes have an owner.
#[derive(Debug, Serialize)]
struct Lanes {
    owned: usize,
    of: usize,
}

impl StatusArgs {
    pub(super) async fn run(self) -> anyhow::Result<End> {
        let session = self.target.open("status", Purpose::Look).await?;
        loop {
            let status = look(&session).await?;
            match (self.watch, self.json) {
                (None, true) => print::document(&status)?,
                (Some(_), true) => print::json_lines(&[status])?,
                (None, false) => print::text(&page::of(&status))?,
                (Some(_), false) => print::text(&format!("{CLEAR}{}", page::of(&status)))?,
            }
            let Some(pause) = self.watch else {
                return Ok(End::Well);
            };
            sleep(pause).await;
        }
    }
}

/// To the upper left corner, and everything below away; left out where no terminal is.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// What is stuck needs a person, whatever is ahead of it: nothing is looked for there.
const HOLDING: BlockingPolicy = BlockingPolicy { ordered: false, stuck_holds: false };

async fn look(session: &Session) -> anyhow::Result<Status> {
    let relays: Vec<Relay> = queries::relays(session).await?;
    let owned = relays.iter().map(|relay| relay.lanes.len()).sum();
    Ok(Status {
        table: session.table().to_string(),
        backlog: queries::backlog(session, MOST).await?,
        published_last_minute: rate::measure(session).await?,
        lanes: Lanes { owned, of: LANES },
        relays,
        unsettled: queries::list_unsettled(session).await?,
        stuck: queries::list_pending(session, true, &Filter::default(), STUCK_LISTED, HOLDING)
            .await?,
    })
}

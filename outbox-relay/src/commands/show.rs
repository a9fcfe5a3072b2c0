//! `show`: all that is known of one event.

use std::fmt::Write as _;

use anyhow::bail;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::event::{State, aggregate};
use super::holding::HoldingArgs;
use super::print::BOLD;
use super::queries::Payload;
use super::session::{Purpose, Session};
use super::span::age;
use super::target::Target;
use super::{End, plain, print, queries};
use crate::database::queries::BlockingPolicy;

/// Characters of a payload that people are shown.
const PAYLOAD_LIMIT: i32 = 100_000;

/// Rows of the audit table that are shown, the latest ones.
const AUDIT_LIMIT: i64 = 100;

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The event, by its event_id
    #[arg(value_name = "EVENT_ID", id = "EVENT_ID")]
    event_id: Uuid,
    /// One JSON document, with the whole payload as the table holds it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    holding: HoldingArgs,
    #[command(flatten)]
    target: Target,
}

/// An event with its headers.
#[derive(Debug, Serialize, Deserialize)]
struct Event {
    id: i64,
    event_id: Uuid,
    aggregate_type: String,
    aggregate_id: String,
    event_type: String,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<u8>,
    created_at: String,
    age_seconds: Option<f64>,
    published_at: Option<String>,
    attempts: i32,
    next_attempt_at: Option<String>,
    last_error: Option<String>,
    /// The first event of its aggregate that failed, if it is ahead of this one and holds it back, and its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_behind: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_behind_id: Option<i64>,
    headers: Box<RawValue>,
}

/// Something that a person did to the event.
#[derive(Debug, Serialize, Deserialize)]
struct Deed {
    happened_at: String,
    actor: String,
    db_user: String,
    action: String,
    reason: Option<String>,
    detail: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Document {
    event: Event,
    payload: Box<RawValue>,
    audit: Vec<Deed>,
}

impl ShowArgs {
    pub(super) async fn run(self) -> anyhow::Result<End> {
        let session = self.target.open("show", Purpose::Look).await?;
        let laid_out = if self.json { None } else { Some(PAYLOAD_LIMIT) };
        let holding = self.holding.into();
        let Some((event, payload)) = find(&session, self.event_id, laid_out, holding).await? else {
            bail!(
                "there is no event {} in {}: it was never there, or it was published and pruned",
                self.event_id,
                session.table()
            );
        };
        let audit: Vec<Deed> = queries::find_audit(&session, self.event_id, AUDIT_LIMIT).await?;
        if self.json {
            let payload = RawValue::from_string(payload.text)?;
            print::document(&Document { event, payload, audit })?;
        } else {
            print::text(&page(&event, &payload, &audit))?;
        }
        Ok(End::Well)
    }
}

/// The event in the outbox, or what the audit table has kept of it.
async fn find(
    session: &Session,
    event_id: Uuid,
    laid_out: Option<i32>,
    holding: BlockingPolicy,
) -> anyhow::Result<Option<(Event, Payload)>> {
    // Between the two statements it may have been deleted.
    if let Some(event) = queries::find_event(session, event_id, holding).await?
        && let Some(payload) = queries::find_payload(session, event_id, laid_out).await?
    {
        return Ok(Some((event, payload)));
    }
    queries::find_discarded(session, event_id, laid_out).await
}

fn page(event: &Event, payload: &Payload, audit: &[Deed]) -> String {
    let mut page = String::new();
    let mut field = |name: &str, value: &str| {
        // Writing to a string does not fail.
        let _infallible = writeln!(page, "{BOLD}{name:<14}{BOLD:#}{}", plain::line(value));
    };
    field("event", &event.event_id.to_string());
    field("type", &event.event_type);
    field("aggregate", &aggregate(&event.aggregate_type, &event.aggregate_id));
    field("state", &event.state.told(event.waits_behind_id));
    if let Some(ahead) = event.waits_behind {
        field("waits behind", &format!("{ahead}, an event of its aggregate that failed"));
    }
    field("created", &with_age(&event.created_at, event.age_seconds));
    if let Some(published) = &event.published_at {
        field("published", published);
    }
    field("attempts", &format!("{} failed", event.attempts));
    match (&event.next_attempt_at, event.state) {
        (_, State::Stuck) => field("next attempt", "none: see outbox-relay retry and discard"),
        (Some(next), State::Waiting) => field("next attempt", next),
        _ => {}
    }
    if let Some(error) = &event.last_error {
        field("last error", error);
    }
    field("id", &event.id.to_string());
    if let Some(lane) = event.lane {
        field("lane", &lane.to_string());
    }
    field("headers", event.headers.get());
    field("payload", &format!("{} bytes", payload.bytes));
    page.push_str(&plain::lines(&payload.text));
    page.push('\n');
    if payload.cut {
        page.push_str("… (--json shows all of it)\n");
    }
    if !audit.is_empty() {
        page.push_str(&format!("{BOLD}audit{BOLD:#}\n"));
    }
    for deed in audit {
        page.push_str(&plain::line(&sentence(deed)));
        page.push('\n');
    }
    page
}

fn with_age(created_at: &str, age_seconds: Option<f64>) -> String {
    match age_seconds {
        Some(seconds) => format!("{created_at} ({} ago)", age(Some(seconds))),
        None => created_at.to_owned(),
    }
}

fn sentence(deed: &Deed) -> String {
    let why = deed.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    format!(
        "{}  {} by {} (database role {}){why}",
        deed.happened_at, deed.action, deed.actor, deed.db_user
    )
}

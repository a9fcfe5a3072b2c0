//! `show`: prints everything that is known about one event.

use std::fmt::Write as _;

use anyhow::bail;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::args::{BlockingArgs, ConnectionArgs};
use super::edit;
use super::event::{State, aggregate};
use super::outcome::Outcome;
use super::output::duration_format::age;
use super::output::{self, BOLD, escape};
use super::queries::{self, Payload};
use super::session::{Access, Session};
use crate::database::queries::BlockingPolicy;

/// How many characters of a payload are printed.
const PAYLOAD_LIMIT: i32 = 100_000;

/// How many rows of the audit table are printed, the latest ones.
const AUDIT_LIMIT: i64 = 100;

/// Arguments of `show`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outbox-relay show 0190163d-8694-739b-aea5-966c26f8ad91")]
pub struct ShowArgs {
    /// The event_id of the event
    #[arg(value_name = "EVENT_ID", id = "EVENT_ID")]
    event_id: Uuid,
    /// Print one JSON document, with the whole payload as it is stored
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    blocking: BlockingArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// An event with its lane and its headers.
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error_kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error_fingerprint: Option<String>,
    /// The first failed event of its aggregate, if that is earlier and holds this one back.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_behind: Option<Uuid>,
    /// The id of that event.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_behind_id: Option<i64>,
    headers: Box<RawValue>,
    /// Set if the contents of a discarded event were erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    forgotten: Option<bool>,
}

/// A row of the audit table: what a person did to the event.
#[derive(Debug, Serialize, Deserialize)]
struct AuditEntry {
    happened_at: String,
    actor: String,
    db_user: String,
    action: String,
    reason: Option<String>,
    detail: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct EventReport {
    event: Event,
    payload: Box<RawValue>,
    audit: Vec<AuditEntry>,
    /// Of a pending event, for `edit --if-unchanged`.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

impl ShowArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let session = self.connection.open("show", Access::Read).await?;
        let pretty = if self.json { None } else { Some(PAYLOAD_LIMIT) };
        // First, so that an edit is refused if the contents below are newer ones.
        let digest =
            if self.json { edit::find_digest(&session, self.event_id).await? } else { None };
        let holding = self.blocking.into();
        let Some((event, payload)) = find(&session, self.event_id, pretty, holding).await? else {
            bail!(
                "there is no event {} in {}: it never existed, or it was published and pruned",
                self.event_id,
                session.table()
            );
        };
        let audit: Vec<AuditEntry> =
            queries::find_audit(&session, self.event_id, AUDIT_LIMIT).await?;
        if self.json {
            let payload = RawValue::from_string(payload.text)?;
            output::json(&EventReport { event, payload, audit, digest })?;
        } else {
            output::text(&page(&event, &payload, &audit))?;
        }
        Ok(Outcome::Ok)
    }
}

/// Returns the event in the outbox, or its copy in the audit table.
async fn find(
    session: &Session,
    event_id: Uuid,
    pretty: Option<i32>,
    holding: BlockingPolicy,
) -> anyhow::Result<Option<(Event, Payload)>> {
    // It may be deleted between the two statements.
    if let Some(event) = queries::find_event(session, event_id, holding).await?
        && let Some(payload) = queries::find_payload(session, event_id, pretty).await?
    {
        return Ok(Some((event, payload)));
    }
    queries::find_discarded(session, event_id, pretty).await
}

fn page(event: &Event, payload: &Payload, audit: &[AuditEntry]) -> String {
    let mut page = String::new();
    let mut field = |name: &str, value: &str| {
        // Writing to a string does not fail.
        let _infallible = writeln!(page, "{BOLD}{name:<14}{BOLD:#}{}", escape::line(value));
    };
    field("event", &event.event_id.to_string());
    field("type", &event.event_type);
    field("aggregate", &aggregate(&event.aggregate_type, &event.aggregate_id));
    field("state", &event.state.describe(event.waits_behind_id));
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
    if event.forgotten.is_some() {
        field("contents", "forgotten");
    } else {
        field("headers", event.headers.get());
        field("payload", &format!("{} bytes", payload.bytes));
        page.push_str(&escape::lines(&payload.text));
        page.push('\n');
    }
    if payload.cut {
        page.push_str("… (--json shows all of it)\n");
    }
    if !audit.is_empty() {
        page.push_str(&format!("{BOLD}audit{BOLD:#}\n"));
    }
    for entry in audit {
        page.push_str(&escape::line(&sentence(entry)));
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

fn sentence(entry: &AuditEntry) -> String {
    let why = entry.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    format!(
        "{}  {} by {} (database role {}){why}",
        entry.happened_at, entry.action, entry.actor, entry.db_user
    )
}

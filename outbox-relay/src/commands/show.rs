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
use super::queries::{self, Contents, Payload};
use super::session::{Access, Session};
use crate::database::queries::BlockingPolicy;

/// How many characters of a payload are printed.
const PAYLOAD_LIMIT: i32 = 100_000;

/// How many rows of the audit table are printed, the latest ones.
const AUDIT_LIMIT: i64 = 100;

/// How many details of audit rows may be as long as a payload together.
const DETAILS: i32 = 16;

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
    /// Print at most so many characters of the payload, and nothing of contents that take more bytes
    /// in the database
    #[arg(long, requires = "json", value_parser = clap::value_parser!(i32).range(0..), value_name = "N")]
    cut_at: Option<i32>,
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
    /// Null if they were too large to be read.
    headers: Box<RawValue>,
    /// How much they take on disk, if they were too large to be read; of a discarded event, with all
    /// that is kept of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    headers_stored_bytes: Option<i64>,
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
    /// Null if it is cut.
    payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_payload: Option<CutContents>,
    audit: Vec<AuditEntry>,
    /// Of a pending event, for `edit --if-unchanged`; with `--cut-at` only if it is short.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

/// What is printed of contents that are longer than `--cut-at`.
#[derive(Debug, Serialize)]
pub(super) struct CutContents {
    /// Empty if they were not read.
    pub(super) beginning: String,
    /// The size of all, if they were read.
    pub(super) bytes: Option<i64>,
    /// How much they take on disk.
    pub(super) stored_bytes: i64,
}

impl ShowArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let session = self.connection.open("show", Access::Read).await?;
        let contents = match (self.json, self.cut_at) {
            (false, _) => Contents::Indented(PAYLOAD_LIMIT),
            (true, None) => Contents::All,
            (true, Some(longest)) => Contents::Short(longest),
        };
        // First, so that an edit is refused if the contents below are newer ones.
        let digest = match self.json {
            true => edit::find_digest(&session, self.event_id, self.cut_at).await?,
            false => None,
        };
        let holding = self.blocking.into();
        let Some((event, payload)) = find(&session, self.event_id, contents, holding).await? else {
            bail!(
                "there is no event {} in {}: it never existed, or it was published and pruned",
                self.event_id,
                session.table()
            );
        };
        let longest_detail = self.cut_at.map(|longest| longest / DETAILS);
        let audit: Vec<AuditEntry> =
            queries::find_audit(&session, self.event_id, AUDIT_LIMIT, longest_detail).await?;
        if self.json {
            let Payload { text, cut, bytes, stored_bytes } = payload;
            let cut_payload =
                cut.then(|| CutContents { beginning: text.clone(), bytes, stored_bytes });
            let payload = if cut { None } else { Some(RawValue::from_string(text)?) };
            output::json(&EventReport { event, payload, cut_payload, audit, digest })?;
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
    contents: Contents,
    holding: BlockingPolicy,
) -> anyhow::Result<Option<(Event, Payload)>> {
    // It may be deleted between the two statements.
    if let Some(event) = queries::find_event(session, event_id, contents, holding).await?
        && let Some(payload) = queries::find_payload(session, event_id, contents).await?
    {
        return Ok(Some((event, payload)));
    }
    queries::find_discarded(session, event_id, contents).await
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
        field("payload", &format!("{} bytes", payload.bytes.unwrap_or_default()));
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

//! `dead-letters show`: prints everything that is known about one dead letter.

use std::fmt::Write as _;

use anyhow::bail;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::args::DeskArgs;
use super::edit;
use super::queries::{self, Body};
use super::shown_body::BodyReport;
use crate::commands::outcome::Outcome;
use crate::commands::output::duration_format::age;
use crate::commands::output::{self, BOLD, escape};
use crate::commands::session::Access;

/// How many bytes of a body are printed.
const BODY_LIMIT: i32 = 100_000;

/// How many rows of the audit table are printed, the latest ones.
const AUDIT_LIMIT: i64 = 100;

/// How many changes in audit rows may be as long as a body together.
const CHANGES: i32 = 16;

/// How many earlier deaths are printed.
const DEATHS_LIMIT: i64 = 20;

/// Arguments of `dead-letters show`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outbox-relay dead-letters show 17")]
pub struct ShowArgs {
    /// The id of the dead letter
    #[arg(value_name = "ID", id = "ID")]
    id: i64,
    /// Print one JSON document, with the whole body: as text, or else in base64
    #[arg(long)]
    json: bool,
    /// Print at most so many bytes of the body, and nothing of headers, properties and changes that
    /// take more in the database
    #[arg(long, requires = "json", value_parser = clap::value_parser!(i32).range(0..), value_name = "N")]
    cut_at: Option<i32>,
    #[command(flatten)]
    desk: DeskArgs,
}

/// A dead letter without its body.
#[derive(Debug, Serialize, Deserialize)]
struct Letter {
    id: i64,
    queue: String,
    return_to: Option<String>,
    message_id: Option<String>,
    event_type: String,
    exchange: Option<String>,
    routing_key: Option<String>,
    content_type: Option<String>,
    state: String,
    error_kind: String,
    fingerprint: String,
    reason: Option<String>,
    tries: Option<i64>,
    returns: i64,
    earlier_id: Option<i64>,
    /// Its next death: it was returned, and died again.
    later_id: Option<i64>,
    first_failed_at: Option<String>,
    last_failed_at: Option<String>,
    collected_at: String,
    age_seconds: Option<f64>,
    redelivered: bool,
    settled_at: Option<String>,
    /// Whether the message may be with its consumer: the broker did not answer a return of it, and
    /// refused a later one.
    may_have_arrived: bool,
    note: Option<String>,
    /// Null if they were too large to be read, as the headers.
    properties: Box<RawValue>,
    headers: Box<RawValue>,
    /// How much both take on disk, if they were too large to be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    headers_stored_bytes: Option<i64>,
    is_edited: bool,
    is_forgotten: bool,
}

/// An earlier death of the same message.
#[derive(Debug, Serialize, Deserialize)]
struct Death {
    id: i64,
    state: String,
    error_kind: String,
    fingerprint: String,
    reason: Option<String>,
    collected_at: String,
    settled_at: Option<String>,
    may_have_arrived: bool,
}

impl Death {
    /// Whether the message may have been returned, without a confirm of the broker.
    fn is_in_doubt(&self) -> bool {
        self.may_have_arrived && self.state != "returned"
    }
}

/// What a person did to it.
#[derive(Debug, Serialize, Deserialize)]
struct AuditEntry {
    happened_at: String,
    actor: String,
    db_user: String,
    action: String,
    reason: Option<String>,
    before: Option<Box<RawValue>>,
    after: Option<Box<RawValue>>,
    detail: Option<Box<RawValue>>,
    operation_id: String,
}

/// The members of `after` and `detail` that the page shows.
#[derive(Default, Deserialize)]
struct Outcomes {
    state: Option<String>,
    error: Option<String>,
}

#[derive(Serialize)]
struct LetterReport {
    dead_letter: Letter,
    #[serde(flatten)]
    body: BodyReport,
    earlier_deaths: Vec<Death>,
    audit: Vec<AuditEntry>,
    /// Of an open dead letter, for `edit --if-unchanged`; with `--cut-at` only if it is short.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

impl ShowArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let session = self.desk.open("show", Access::Read).await?;
        // First, so that an edit is refused if the contents below are newer ones.
        let digest = match self.json {
            true => edit::find_digest(&session, self.id, self.cut_at).await?,
            false => None,
        };
        let longest = if self.json { self.cut_at } else { Some(BODY_LIMIT) };
        let found = queries::find_letter(&session, self.id, longest, self.cut_at).await?;
        let Some((letter, body)) = found else {
            bail!(
                "there is no dead letter {}: it never existed, or retention has deleted it",
                self.id
            );
        };
        let deaths: Vec<Death> = queries::find_deaths(&session, self.id, DEATHS_LIMIT).await?;
        let longest_change = self.cut_at.map(|longest| longest / CHANGES);
        let audit: Vec<AuditEntry> =
            queries::find_audit(&session, self.id, AUDIT_LIMIT, self.json, longest_change).await?;
        if self.json {
            output::json(&LetterReport {
                dead_letter: letter,
                body: BodyReport::new(&body),
                earlier_deaths: deaths,
                audit,
                digest,
            })?;
        } else {
            output::text(&page(&letter, &body, &deaths, &audit))?;
        }
        Ok(Outcome::Ok)
    }
}

fn page(letter: &Letter, body: &Body, deaths: &[Death], audit: &[AuditEntry]) -> String {
    let mut page = String::new();
    let mut field = |name: &str, value: &str| {
        // Writing to a string does not fail.
        let _infallible = writeln!(page, "{BOLD}{name:<14}{BOLD:#}{}", escape::line(value));
    };
    let edited = if letter.is_edited { ", edited" } else { "" };
    field("dead letter", &letter.id.to_string());
    let in_doubt = match letter.state.as_str() {
        "open" | "discarded" if letter.may_have_arrived => {
            "; a return had no answer, and may have arrived"
        }
        _ => "",
    };
    field("state", &format!("{}{edited}{in_doubt}", letter.state));
    field("queue", &letter.queue);
    field("goes back to", letter.return_to.as_deref().unwrap_or("? (name a queue with --to)"));
    field("type", &letter.event_type);
    for (name, value) in [
        ("message id", &letter.message_id),
        ("exchange", &letter.exchange),
        ("routing key", &letter.routing_key),
        ("content type", &letter.content_type),
    ] {
        if let Some(value) = value {
            field(name, value);
        }
    }
    field("died of", &format!("{}, cause {}", letter.error_kind, letter.fingerprint));
    field("reason", letter.reason.as_deref().unwrap_or("it does not say why"));
    if let Some(tries) = letter.tries {
        field("tries", &tries.to_string());
    }
    for (name, value) in
        [("first failed", &letter.first_failed_at), ("last failed", &letter.last_failed_at)]
    {
        if let Some(value) = value {
            field(name, value);
        }
    }
    field("collected", &format!("{} ({} ago)", letter.collected_at, age(letter.age_seconds)));
    if let Some(settled_at) = &letter.settled_at {
        field(&letter.state, settled_at);
    }
    if let Some(later_id) = letter.later_id {
        field("died again", &format!("as dead letter {later_id}"));
    }
    if letter.returns > 0 {
        field("returned", &returned_before(letter, deaths));
    }
    if let Some(note) = &letter.note {
        field("note", note);
    }
    if letter.is_forgotten {
        field("contents", "forgotten");
    } else {
        field("properties", letter.properties.get());
        field("headers", letter.headers.get());
        field("body", &format!("{} bytes", body.size));
        page.push_str(&body.shown());
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

/// Says how often the message was returned before, and whether it died of the same cause.
fn returned_before(letter: &Letter, deaths: &[Death]) -> String {
    let times = match letter.returns {
        1 => "once before".to_owned(),
        2 => "twice before".to_owned(),
        times => format!("{times} times before"),
    };
    let same = deaths.iter().filter(|death| death.fingerprint == letter.fingerprint).count();
    let cause = match same {
        0 if deaths.is_empty() => "",
        0 => ", other cause",
        same if same == deaths.len() => ", same cause",
        _ => ", sometimes of the same cause",
    };
    let ids: Vec<String> = deaths
        .iter()
        .map(|death| {
            let in_doubt = if death.is_in_doubt() { ", by a return without an answer" } else { "" };
            format!("{}{in_doubt}", death.id)
        })
        .collect();
    let rows = if ids.is_empty() { String::new() } else { format!(" (see {})", ids.join(", ")) };
    format!("{times}{cause}{rows}")
}

fn sentence(entry: &AuditEntry) -> String {
    let read = |json: &Option<Box<RawValue>>| -> Outcomes {
        let json = json.as_deref().map(RawValue::get);
        json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    };
    let state = read(&entry.after).state.map_or_else(String::new, |state| format!(" ({state})"));
    let error = read(&entry.detail).error.map_or_else(String::new, |error| format!("; {error}"));
    let why = entry.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    format!(
        "{}  {}{state} by {} (database role {}){why}{error}",
        entry.happened_at, entry.action, entry.actor, entry.db_user
    )
}

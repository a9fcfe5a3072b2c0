//! `failures`: what failed, by cause.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::args::{ConnectionArgs, fingerprint};
use super::outcome::Outcome;
use super::output::{self, BOLD, escape};
use super::session::{Access, Session};
use super::{queries, recovered};
use crate::cause::{ErrorKind, Fingerprint};

/// How many events are counted in all groups together.
const COUNT_LIMIT: i64 = 20_000;

/// How many groups are read, of each kind the first by fingerprint; those with the most events are
/// printed. One more than can be asked for: it tells that there are more.
const GROUP_LIMIT: i64 = 501;

/// How many reasons of unsettled events are read.
const REASON_LIMIT: i64 = 10_000;

/// How many characters of an error are printed.
const ERROR_LIMIT: usize = 300;

/// Arguments of `failures`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outbox-relay failures --limit 5")]
pub struct FailuresArgs {
    /// Only those of this cause
    #[arg(long, value_name = "CAUSE", value_parser = fingerprint)]
    fingerprint: Option<String>,
    /// What has recovered instead: causes of events that were published in the last hour, after
    /// somebody had retried or edited them
    #[arg(long)]
    recovered: bool,
    /// The maximum number of groups
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500), value_name = "N")]
    limit: u16,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Failed events with one cause and one type.
#[derive(Debug, Serialize, Deserialize)]
struct FailureGroup {
    kind: String,
    fingerprint: String,
    /// What the reasons have in common.
    #[serde(default)]
    cause: String,
    /// `None` for unsettled events, which are not told apart by type.
    event_type: Option<String>,
    events: i64,
    /// Whether counting stopped there.
    is_capped: bool,
    stuck: i64,
    aggregates: Option<i64>,
    /// Events that wait until these are published, if the relays keep order.
    waiting_behind: Option<i64>,
    /// RFC 3339, or infinity.
    oldest_created_at: Option<String>,
    newest_created_at: Option<String>,
    example_event_id: Uuid,
    example_error: Option<String>,
    /// What usually fixes it.
    #[serde(default, skip_deserializing)]
    remedy: &'static str,
}

/// The unsettled events with one reason.
#[derive(Debug, Deserialize)]
struct Unsettled {
    events: i64,
    event_id: Uuid,
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct FailureReport {
    failures: Vec<FailureGroup>,
    /// Whether there are more groups.
    has_more: bool,
    /// Failed events whose cause an older release did not note.
    without_cause: i64,
    /// Whether counting them stopped before all were looked at.
    without_cause_is_capped: bool,
}

impl FailuresArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let session = self.connection.open("failures", Access::Read).await?;
        session.require_causes()?;
        if self.recovered {
            let fingerprint = self.fingerprint.as_deref();
            return recovered::print(&session, fingerprint, self.limit, self.json).await;
        }
        let report = self.read(&session).await?;
        if self.json {
            output::json(&report)?;
            return Ok(Outcome::Ok);
        }
        output::text(&page(&report))?;
        if report.has_more {
            output::note("There are more groups: raise --limit.");
        }
        let without_cause = report.without_cause;
        if report.without_cause_is_capped {
            output::note(&format!(
                "Failed events without a cause: {without_cause} among the first {COUNT_LIMIT} without one, scheduled ones included."
            ));
        } else if without_cause > 0 {
            output::note(&format!(
                "Failed events without a cause: {without_cause}. An older release noted them; they get one with their next attempt."
            ));
        }
        Ok(Outcome::Ok)
    }

    async fn read(&self, session: &Session) -> anyhow::Result<FailureReport> {
        // One more tells that there are more.
        let wanted = i64::from(self.limit) + 1;
        let fingerprint = self.fingerprint.as_deref();
        let mut failures: Vec<FailureGroup> =
            queries::list_failures(session, fingerprint, GROUP_LIMIT, COUNT_LIMIT, wanted).await?;
        let unsettled = group_unsettled(queries::group_unsettled(session, REASON_LIMIT).await?);
        failures
            .extend(unsettled.filter(|group| fingerprint.is_none_or(|it| group.fingerprint == it)));
        for group in &mut failures {
            let reason = group.example_error.as_deref().unwrap_or_default();
            Fingerprint::of(reason).name().clone_into(&mut group.cause);
            group.remedy = ErrorKind::read(&group.kind).map_or("", ErrorKind::remedy);
        }
        failures.sort_by_key(|group| -group.events);
        let most = usize::from(self.limit);
        let has_more = failures.len() > most;
        failures.truncate(most);
        let (without_cause, without_cause_is_capped) =
            queries::count_without_cause(session, COUNT_LIMIT).await?;
        Ok(FailureReport { failures, has_more, without_cause, without_cause_is_capped })
    }
}

/// Merges reasons that differ in ids and values only.
fn group_unsettled(reasons: Vec<Unsettled>) -> impl Iterator<Item = FailureGroup> {
    let is_capped = i64::try_from(reasons.len()).is_ok_and(|read| read >= REASON_LIMIT);
    let mut groups: BTreeMap<String, FailureGroup> = BTreeMap::new();
    for Unsettled { events, event_id, reason } in reasons {
        let reason = reason.unwrap_or_else(|| "the event's row is locked".to_owned());
        let fingerprint = Fingerprint::of(&reason).to_string();
        let group = groups.entry(fingerprint.clone());
        let group = group.or_insert_with(|| unsettled(fingerprint, event_id, reason, is_capped));
        group.events += events;
    }
    groups.into_values()
}

/// A group of unsettled events that has none yet.
fn unsettled(
    fingerprint: String,
    example_event_id: Uuid,
    reason: String,
    is_capped: bool,
) -> FailureGroup {
    FailureGroup {
        kind: ErrorKind::Unsettled.text().to_owned(),
        fingerprint,
        cause: String::new(),
        event_type: None,
        events: 0,
        is_capped,
        stuck: 0,
        aggregates: None,
        waiting_behind: None,
        oldest_created_at: None,
        newest_created_at: None,
        example_event_id,
        example_error: Some(reason),
        remedy: "",
    }
}

fn page(report: &FailureReport) -> String {
    if report.failures.is_empty() && report.without_cause == 0 {
        return "Nothing has failed.\n".to_owned();
    }
    let mut page = String::new();
    for group in &report.failures {
        if !page.is_empty() {
            page.push('\n');
        }
        add_group(&mut page, group);
    }
    page
}

fn add_group(page: &mut String, group: &FailureGroup) {
    let capped = if group.is_capped { "+" } else { "" };
    let FailureGroup { kind, fingerprint, events, .. } = group;
    let of_type = group.event_type.as_deref().map(|event_type| format!(" of {event_type}"));
    let of_type = escape::line(of_type.as_deref().unwrap_or_default()).into_owned();
    let plural = if *events == 1 { "event" } else { "events" };
    let heading = format!("{events}{capped} {plural}{of_type}: {kind} {fingerprint}");
    writeln!(page, "{BOLD}{heading}{BOLD:#}").ok();
    writeln!(page, "  {}", escape::truncated(&group.cause, ERROR_LIMIT)).ok();
    if let (Some(aggregates), Some(behind)) = (group.aggregates, group.waiting_behind) {
        let aggregates = match aggregates {
            1 => "1 aggregate".to_owned(),
            _ => format!("{aggregates}{capped} aggregates"),
        };
        let stuck = group.stuck;
        writeln!(page, "  {stuck}{capped} stuck; of {aggregates}; {behind} events wait behind")
            .ok();
    }
    if let (Some(oldest), Some(newest)) = (&group.oldest_created_at, &group.newest_created_at) {
        writeln!(page, "  created from {oldest} to {newest}").ok();
    }
    let error = escape::truncated(group.example_error.as_deref().unwrap_or_default(), ERROR_LIMIT);
    writeln!(page, "  for example {}: {error}", group.example_event_id).ok();
    writeln!(page, "  {}", group.remedy).ok();
}

//! `replay`: publishes events again.
//!
//! `selection` says which, `load` reads them, `publisher` sends them.

mod load;
mod publisher;
mod queries;
mod selection;

use amqp::BrokerArgs;
use anyhow::anyhow;
use clap::{ArgGroup, Args};
use serde::Serialize;
use uuid::Uuid;

use super::args::{ActorArgs, ConnectionArgs, ExpectArgs, FilterArgs, TimeArg, single_line};
use super::consent::Consent;
use super::event::{self, Event};
use super::outcome::{Outcome, Unavailable};
use super::output::{self, escape};
use super::progress::Progress;
use super::queries::Filter;
use super::session::{Access, Session};
use super::skipped::{self, Eligible, SkippedEvent};
use super::stop::stop_on_signals;
use crate::config::RelayArgs;
use load::load_page;
use publisher::{FailedEvent, ReplayPublisher};
use selection::ReplaySelection;

/// How many failed events are printed.
const FAILURE_PRINT_LIMIT: usize = 20;

/// Arguments of `replay`.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("which").required(true).multiple(true).args(["EVENT_ID", "aggregate", "aggregate_type", "event_type", "fingerprint", "kind", "error", "since", "until"]),
    override_usage = "outbox-relay replay [OPTIONS] <EVENT_ID>...\n       outbox-relay replay [OPTIONS] [--aggregate <ID>] [--type <TYPE>] [--since <WHEN>] [--until <WHEN>]",
    after_help = "Examples:\n  outbox-relay replay --type order.created --since 2h --dry-run\n  outbox-relay replay --type order.created --since 2h --reason 'the queue was purged' --yes"
)]
pub struct ReplayArgs {
    /// The event_id of each event
    #[arg(value_name = "EVENT_ID", id = "EVENT_ID", conflicts_with_all = ["aggregate", "aggregate_type", "event_type", "fingerprint", "kind", "error", "since", "until", "above_id", "up_to_id", "expect"])]
    event_ids: Vec<Uuid>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Only events published since this time: an age (90m, 7d) or a date (2026-02-01T22:25:31Z)
    #[arg(long, value_name = "WHEN")]
    since: Option<TimeArg>,
    /// Only events published before this time
    #[arg(long, value_name = "WHEN")]
    until: Option<TimeArg>,
    /// Only events with a higher id, to continue an interrupted replay
    #[arg(long, value_name = "ID", default_value_t = 0, hide_default_value = true)]
    above_id: i64,
    #[command(flatten)]
    expect: ExpectArgs,
    /// Publish without asking
    #[arg(long, short)]
    yes: bool,
    /// The reason, for the audit table
    #[arg(long, env = "OUTBOX_REASON", value_name = "TEXT", value_parser = single_line)]
    reason: Option<String>,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    relay: RelayArgs,
}

#[derive(Serialize)]
struct ReplayReport {
    matched: i64,
    replayed: i64,
    dry_run: bool,
    /// For `--up-to-id`.
    up_to_id: i64,
    /// By which the audit table has the row of this command.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    examples: Vec<Event>,
    not_replayed: Vec<SkippedEvent>,
    failed: Vec<FailedEvent>,
}

impl ReplayArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let consent =
            Consent { verb: "replay", noun: "event", expect: self.expect, yes: Some(self.yes) };
        let is_named = !self.event_ids.is_empty();
        if !is_named {
            consent.require_terminal()?;
        }
        let session = self.connection.open("replay", Access::Write).await?;
        let selection = self.select(&session).await?;
        let not_replayed = if is_named {
            let published = queries::find_published(&session, &self.event_ids).await?;
            skipped::find(&session, &self.event_ids, published, Eligible::None).await?
        } else {
            Vec::new()
        };
        let dry_run = self.expect.dry_run;
        let mut report = ReplayReport {
            matched: selection.count,
            replayed: 0,
            dry_run,
            up_to_id: selection.highest,
            operation_id: None,
            examples: Vec::new(),
            not_replayed,
            failed: Vec::new(),
        };
        if dry_run {
            report.examples = selection.examples(&session).await?;
        } else {
            if !is_named {
                consent.obtain(usize::try_from(selection.count)?).await?;
            }
            if selection.count > 0 {
                self.replay(&session, &selection, &mut report).await?;
            }
        }
        self.print(&report)
    }

    async fn select(&self, session: &Session) -> anyhow::Result<ReplaySelection> {
        let filter = Filter {
            published_since: TimeArg::resolve_optional(self.since, session).await?,
            published_until: TimeArg::resolve_optional(self.until, session).await?,
            above_id: (self.above_id != 0).then_some(self.above_id),
            up_to_id: self.expect.up_to_id,
            ..self.filter.filter(session)?
        };
        let event_ids = (!self.event_ids.is_empty()).then(|| self.event_ids.clone());
        let mut selection = ReplaySelection::new(event_ids, filter);
        (selection.count, selection.highest, selection.counted_at) =
            queries::count_published(session, &selection).await?;
        Ok(selection)
    }

    async fn replay(
        &self,
        session: &Session,
        selection: &ReplaySelection,
        report: &mut ReplayReport,
    ) -> anyhow::Result<()> {
        let stop = stop_on_signals()?;
        let mut publisher =
            ReplayPublisher::connect(self.broker.url(), &self.relay, stop.clone()).await?;
        // Before the first message, so that each replay leaves an audit row.
        let attribution = self.actor.clone().attribution(session, self.reason.clone());
        report.operation_id = Some(attribution.operation_id);
        let detail = selection.audit_detail();
        queries::audit_replay(session, &attribution, selection.only_event(), &detail).await?;
        let progress = Progress::new(selection.count, "event", self.json);
        let result =
            publish_all(session, selection, &self.relay, &mut publisher, &progress, report).await;
        progress.clear();
        publisher.close().await;
        let reached = result.map_err(|error| {
            let done = report.replayed;
            let sentence = format!(
                "{error:#}; {done} of {} events were published again before",
                selection.count
            );
            Unavailable::keep(&error, sentence)
        })?;
        if stop.is_cancelled() {
            let done = report.replayed;
            return Err(anyhow!(
                "stopped after {done} of {} events: go on with --above-id {reached}",
                selection.count
            ));
        }
        Ok(())
    }

    fn print(self, report: &ReplayReport) -> anyhow::Result<Outcome> {
        let is_complete = report.failed.is_empty() && report.not_replayed.is_empty();
        let outcome = if is_complete { Outcome::Ok } else { Outcome::Problems };
        if self.json {
            output::json(report)?;
            return Ok(outcome);
        }
        let (count, done) = if report.dry_run {
            (report.matched, "would be published again")
        } else {
            (report.replayed, "published again")
        };
        let plural = if count == 1 { "event" } else { "events" };
        output::text(&format!("{count} {plural} {done}.\n"))?;
        if !report.examples.is_empty() {
            output::text(&event::table(&report.examples))?;
            if self.event_ids.is_empty() {
                let id = report.up_to_id;
                output::note(&format!("To publish these: --expect {count} --up-to-id {id}"));
            }
        }
        skipped::print(&report.not_replayed, "replayed", "it is not published yet");
        for failed in report.failed.iter().take(FAILURE_PRINT_LIMIT) {
            output::note(&escape::line(&format!("{}: {}", failed.event_id, failed.reason)));
        }
        if report.failed.len() > FAILURE_PRINT_LIMIT {
            let more = report.failed.len() - FAILURE_PRINT_LIMIT;
            output::note(&format!("… and {more} more that failed"));
        }
        Ok(outcome)
    }
}

/// Publishes page after page, loading the next one meanwhile. Returns the id that was reached.
async fn publish_all(
    session: &Session,
    selection: &ReplaySelection,
    relay: &RelayArgs,
    publisher: &mut ReplayPublisher,
    progress: &Progress,
    report: &mut ReplayReport,
) -> anyhow::Result<i64> {
    let mut reached = selection.filter.above_id.unwrap_or(i64::MIN);
    let mut page = load_page(session, selection, reached, relay).await?;
    while let Some(last) = page.last() {
        let last_id = last.event_ref.id;
        let (published, next) = tokio::join!(
            publisher.publish(&page, progress),
            load_page(session, selection, last_id, relay)
        );
        let failed = published?;
        report.replayed += i64::try_from(page.len() - failed.len())?;
        report.failed.extend(failed);
        progress.set_done(report.replayed);
        reached = last_id;
        if publisher.is_stopping() {
            break;
        }
        page = next?;
    }
    Ok(reached)
}

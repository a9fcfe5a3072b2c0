//! `replay`: publishes events again.
//!
//! `selection` says which, `prompt` asks the person, `load` reads them, `publisher` sends them,
//! `progress` shows how far it is.

mod load;
mod progress;
mod prompt;
mod publisher;
mod queries;
mod selection;

use amqp::BrokerArgs;
use anyhow::anyhow;
use clap::{ArgGroup, Args};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::args::{ActorArgs, ConnectionArgs, FilterArgs, TimeArg, single_line};
use super::outcome::Outcome;
use super::output::{self, escape};
use super::queries::Filter;
use super::session::{Access, Session};
use super::skipped::{self, Eligible, SkippedEvent};
use crate::config::RelayArgs;
use load::load_page;
use progress::Progress;
use publisher::{FailedEvent, ReplayPublisher};
use selection::ReplaySelection;

/// How many failed events are printed.
const FAILURE_PRINT_LIMIT: usize = 20;

/// Arguments of `replay`.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("which").required(true).multiple(true).args(["EVENT_ID", "aggregate", "event_type", "since", "until"]),
    override_usage = "outbox-relay replay [OPTIONS] <EVENT_ID>...\n       outbox-relay replay [OPTIONS] [--aggregate <ID>] [--type <TYPE>] [--since <WHEN>] [--until <WHEN>]",
    after_help = "Examples:\n  outbox-relay replay --type order.created --since 2h --dry-run\n  outbox-relay replay --type order.created --since 2h --reason 'the queue was purged' --yes"
)]
pub struct ReplayArgs {
    /// The event_id of each event
    #[arg(value_name = "EVENT_ID", id = "EVENT_ID", conflicts_with_all = ["aggregate", "event_type", "since", "until", "above_id"])]
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
    /// Only count the events
    #[arg(long)]
    dry_run: bool,
    /// Publish without asking
    #[arg(long, short)]
    yes: bool,
    /// The reason, for the audit table
    #[arg(long, value_name = "TEXT", value_parser = single_line)]
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
    not_replayed: Vec<SkippedEvent>,
    failed: Vec<FailedEvent>,
}

impl ReplayArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        if self.event_ids.is_empty() && !self.dry_run && !self.yes {
            prompt::require_terminal()?;
        }
        let session = self.connection.open("replay", Access::Write).await?;
        let selection = self.select(&session).await?;
        let not_replayed = if self.event_ids.is_empty() {
            Vec::new()
        } else {
            let published = queries::find_published(&session, &self.event_ids).await?;
            skipped::find(&session, &self.event_ids, published, Eligible::None).await?
        };
        let mut report = ReplayReport {
            matched: selection.count,
            replayed: 0,
            dry_run: self.dry_run,
            not_replayed,
            failed: Vec::new(),
        };
        if !self.dry_run && selection.count > 0 {
            if self.event_ids.is_empty()
                && !self.yes
                && !prompt::ask(session.table(), &selection).await?
            {
                return Err(anyhow!("nothing was published"));
            }
            self.replay(&session, &selection, &mut report).await?;
        }
        self.print(&report)
    }

    async fn select(&self, session: &Session) -> anyhow::Result<ReplaySelection> {
        let resolve = async |time: Option<TimeArg>| match time {
            Some(time) => time.resolve(session).await.map(Some),
            None => Ok(None),
        };
        let since = resolve(self.since).await?;
        let until = resolve(self.until).await?;
        let filter = Filter { since, until, ..self.filter.clone().into() };
        let event_ids = (!self.event_ids.is_empty()).then(|| self.event_ids.clone());
        let mut selection = ReplaySelection::new(event_ids, filter, self.above_id);
        (selection.count, selection.highest) =
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
        let detail = selection.audit_detail();
        queries::audit_replay(session, &attribution, selection.only_event(), &detail).await?;
        let progress = Progress::new(selection.count);
        let result =
            publish_all(session, selection, &self.relay, &mut publisher, &progress, report).await;
        progress.clear();
        publisher.close().await;
        let reached = result.map_err(|error| {
            let done = report.replayed;
            anyhow!("{error:#}; {done} of {} events were published again before", selection.count)
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
        let (count, done) = if self.dry_run {
            (report.matched, "would be published again")
        } else {
            (report.replayed, "published again")
        };
        let plural = if count == 1 { "event" } else { "events" };
        output::text(&format!("{count} {plural} {done}.\n"))?;
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
    let mut reached = selection.above;
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

/// Returns a token that SIGINT and SIGTERM cancel. The window in flight is confirmed first, so that
/// the command can say what was published.
fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cancelled = stop.clone();
    // The task ends with the process.
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
        cancelled.cancel();
    });
    Ok(stop)
}

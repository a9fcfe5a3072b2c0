//! `replay`: publishes again what was published.
//!
//! `extent` counts what is asked for, `confirm` asks the person, `page` reads, `sender` publishes, `progress` tells how far it is.

mod confirm;
mod extent;
mod page;
mod progress;
mod queries;
mod sender;

use std::time::Duration;

use anyhow::anyhow;
use clap::{ArgGroup, Args};
use serde::Serialize;
use service_kit::broker::BrokerArgs;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::moment::Moment;
use super::selection::{Filter, Selection};
use super::session::{Purpose, Session};
use super::signature::{ActorArgs, words};
use super::target::Target;
use super::untouched::{self, Untouched};
use super::{End, print};
use crate::config::RelayArgs;
use extent::Extent;
use progress::Progress;
use sender::{Failure, Sender};

/// Failed events that are told of one by one.
const FAILURES_TOLD: usize = 20;

/// Arguments of `replay`.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("which").required(true).multiple(true).args(["EVENT_ID", "aggregate", "event_type", "since", "until"]),
    after_help = "Messages keep their event_id and carry the header x-replayed, so that consumers which deduplicate leave out \
                  what they have applied. published_at stays as it is. Events are sent in the order of their ids, beside \
                  whatever the relays publish meanwhile."
)]
pub struct ReplayArgs {
    /// Events by their event_id
    #[arg(value_name = "EVENT_ID", id = "EVENT_ID", conflicts_with_all = ["aggregate", "event_type", "since", "until", "above_id"])]
    event_ids: Vec<Uuid>,
    #[command(flatten)]
    selection: Selection,
    /// Only events published since: so long ago (90m, 7d) or a time (2026-02-01T22:25:31Z)
    #[arg(long, value_name = "WHEN")]
    since: Option<Moment>,
    /// Only events published before
    #[arg(long, value_name = "WHEN")]
    until: Option<Moment>,
    /// Only events with a higher id: to go on where a replay ended
    #[arg(long, value_name = "ID", default_value_t = 0, hide_default_value = true)]
    above_id: i64,
    /// Only say how many events it would be
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Why, for the audit table
    #[arg(long, value_name = "TEXT", value_parser = words)]
    reason: Option<String>,
    #[command(flatten)]
    actor: ActorArgs,
    /// One JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    relay: RelayArgs,
}

#[derive(Serialize)]
struct Document {
    matched: i64,
    replayed: i64,
    dry_run: bool,
    not_replayed: Vec<Untouched>,
    failed: Vec<Failure>,
}

impl ReplayArgs {
    pub(super) async fn run(self) -> anyhow::Result<End> {
        if self.event_ids.is_empty() && !self.dry_run && !self.yes {
            confirm::can_ask()?;
        }
        let session = self.target.open("replay", Purpose::Change).await?;
        let extent = self.extent(&session).await?;
        let absent = if self.event_ids.is_empty() {
            Vec::new()
        } else {
            let there = queries::find_published(&session, &self.event_ids).await?;
            untouched::of(&session, &self.event_ids, there, |_| false).await?
        };
        let mut document = Document {
            matched: extent.count,
            replayed: 0,
            dry_run: self.dry_run,
            not_replayed: absent,
            failed: Vec::new(),
        };
        if !self.dry_run && extent.count > 0 {
            if self.event_ids.is_empty() && !self.yes && !confirm::ask(&session, &extent).await? {
                return Err(anyhow!("nothing was published"));
            }
            self.replay(&session, &extent, &mut document).await?;
        }
        self.tell(&document)
    }

    async fn extent(&self, session: &Session) -> anyhow::Result<Extent> {
        let resolve = async |moment: Option<Moment>| match moment {
            Some(moment) => moment.resolve(session).await.map(Some),
            None => Ok(None),
        };
        let since = resolve(self.since).await?;
        let until = resolve(self.until).await?;
        let filter = Filter { since, until, ..self.selection.clone().into() };
        let event_ids = (!self.event_ids.is_empty()).then(|| self.event_ids.clone());
        Extent::count(session, event_ids, filter, self.above_id).await
    }

    async fn replay(
        &self,
        session: &Session,
        extent: &Extent,
        document: &mut Document,
    ) -> anyhow::Result<()> {
        let stop = stop_on_signals()?;
        let mut sender = Sender::connect(self.broker.url(), &self.relay, stop.clone()).await?;
        // Before the first message, so that no replay is without a trace.
        let signature = self.actor.clone().sign(session, self.reason.clone());
        queries::note_replay(session, &signature, extent.only_event(), &extent.detail()).await?;
        let progress = Progress::of(extent.count);
        let done = send_all(session, extent, &self.relay, &mut sender, &progress, document).await;
        progress.end();
        sender.close().await;
        let reached = done.map_err(|error| {
            let done = document.replayed;
            anyhow!("{error:#}; {done} of {} events were published again before", extent.count)
        })?;
        if stop.is_cancelled() {
            let done = document.replayed;
            return Err(anyhow!(
                "stopped after {done} of {} events: go on with --above-id {reached}",
                extent.count
            ));
        }
        Ok(())
    }

    fn tell(self, document: &Document) -> anyhow::Result<End> {
        let well = document.failed.is_empty() && document.not_replayed.is_empty();
        let end = if well { End::Well } else { End::Findings };
        if self.json {
            print::document(document)?;
            return Ok(end);
        }
        let (count, done) = if self.dry_run {
            (document.matched, "would be published again")
        } else {
            (document.replayed, "published again")
        };
        let plural = if count == 1 { "event" } else { "events" };
        print::text(&format!("{count} {plural} {done}.\n"))?;
        untouched::tell(&document.not_replayed, "replayed", "it is not published yet");
        for failure in document.failed.iter().take(FAILURES_TOLD) {
            print::aside(&super::plain::line(&format!("{}: {}", failure.event_id, failure.reason)));
        }
        if document.failed.len() > FAILURES_TOLD {
            let more = document.failed.len() - FAILURES_TOLD;
            print::aside(&format!("… and {more} more that failed"));
        }
        Ok(end)
    }
}

/// Publishes page after page, the next one being read meanwhile; returns the id that was reached.
async fn send_all(
    session: &Session,
    extent: &Extent,
    relay: &RelayArgs,
    sender: &mut Sender,
    progress: &Progress,
    document: &mut Document,
) -> anyhow::Result<i64> {
    let mut reached = extent.above;
    let mut page = page::read(session, extent, reached, relay).await?;
    while let Some(last) = page.last() {
        let up_to = last.event_ref.id;
        let (sent, next) =
            tokio::join!(sender.send(&page, progress), page::read(session, extent, up_to, relay));
        let failed = sent?;
        document.replayed += i64::try_from(page.len() - failed.len())?;
        document.failed.extend(failed);
        progress.reached(document.replayed);
        reached = up_to;
        if sender.is_told_to_stop() {
            break;
        }
        page = next?;
    }
    Ok(reached)
}

/// Cancelled by SIGINT and SIGTERM: the window in flight is confirmed first, so that it can be said what was published.
fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told = stop.clone();
    // It ends with the process.
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
        told.cancel();
    });
    Ok(stop)
}

/// How long the last window is waited for when told to stop.
const DRAIN: Duration = Duration::from_secs(5);

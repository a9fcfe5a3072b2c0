//! `retry`: makes events due that are stuck or wait for their next attempt.

use anyhow::anyhow;
use clap::{ArgGroup, Args};
use serde::Serialize;
use uuid::Uuid;

use super::args::{ActorArgs, ConnectionArgs, FilterArgs, single_line};
use super::outcome::Outcome;
use super::output;
use super::propagation::{ActiveRelays, UnconfirmedRelay};
use super::queries::{self, Attribution, Changed, Filter};
use super::session::{Access, Session};
use super::skipped::{self, Eligible, SkipReason, SkippedEvent};

/// How many events a statement makes due. Few enough not to delay the relays.
const BATCH: i64 = 1000;

/// Arguments of `retry`.
#[derive(Debug, Args)]
#[command(
    override_usage = "outbox-relay retry [OPTIONS] <EVENT_ID>...\n       outbox-relay retry [OPTIONS] [--stuck] [--aggregate <ID>] [--type <TYPE>]",
    after_help = "Examples:\n  outbox-relay retry 0190163d-8694-739b-aea5-966c26f8ad91 --reason 'the queue is bound'\n  outbox-relay retry --stuck --type order.created",
    group = ArgGroup::new("which").required(true).multiple(true).args(["EVENT_ID", "stuck", "aggregate", "event_type"])
)]
pub struct RetryArgs {
    /// The event_id of each event
    #[arg(value_name = "EVENT_ID", id = "EVENT_ID", conflicts_with_all = ["stuck", "aggregate", "event_type"])]
    event_ids: Vec<Uuid>,
    /// Only stuck events, not those that wait for their next attempt
    #[arg(long)]
    stuck: bool,
    #[command(flatten)]
    filter: FilterArgs,
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
}

#[derive(Serialize)]
struct RetryReport {
    retried: i64,
    not_confirmed_by: Vec<UnconfirmedRelay>,
    not_retried: Vec<SkippedEvent>,
}

/// The events that were retried and those that were not.
#[derive(Debug, Default)]
struct Retry {
    retried: i64,
    /// At least the latest of the retried events.
    latest: Changed,
    not_retried: Vec<SkippedEvent>,
}

impl RetryArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let session = self.connection.open("retry", Access::Write).await?;
        let attribution = self.actor.attribution(&session, self.reason);
        let relays = ActiveRelays::find(&session).await?;
        let Retry { retried, latest, not_retried } = if self.event_ids.is_empty() {
            let filter = self.filter.into();
            retry_matching(&session, self.stuck, &filter, &attribution).await?
        } else {
            retry_named(&session, &self.event_ids, &attribution).await?
        };
        let propagation = relays.wait_for(&session, &latest).await?;
        // An event that is due already is as the person wants it.
        let failed = not_retried.iter().any(|event| event.reason != SkipReason::Pending);
        let outcome = propagation.outcome(if failed { Outcome::Problems } else { Outcome::Ok });
        if self.json {
            let not_confirmed_by = propagation.not_confirmed_by;
            output::json(&RetryReport { retried, not_confirmed_by, not_retried })?;
        } else {
            let plural = if retried == 1 { "event is" } else { "events are" };
            output::text(&format!("{retried} {plural} due again.\n"))?;
            propagation.print("retried");
            skipped::print(&not_retried, "retried", "it is due already");
        }
        Ok(outcome)
    }
}

async fn retry_named(
    session: &Session,
    event_ids: &[Uuid],
    attribution: &Attribution,
) -> anyhow::Result<Retry> {
    let latest = queries::retry_events(session, event_ids, attribution).await?;
    let changed = latest.iter().map(|(event_id, _)| *event_id);
    let not_retried = skipped::find(session, event_ids, changed, Eligible::HeldBack).await?;
    Ok(Retry { retried: i64::try_from(latest.len())?, latest, not_retried })
}

async fn retry_matching(
    session: &Session,
    only_stuck: bool,
    filter: &Filter,
    attribution: &Attribution,
) -> anyhow::Result<Retry> {
    let (mut retry, mut above, mut skipped) = (Retry::default(), 0, Vec::new());
    loop {
        let batch = queries::retry_matching(session, above, BATCH, only_stuck, filter, attribution);
        let batch = batch.await.map_err(|error| match retry.retried {
            0 => error,
            retried => anyhow!("{error:#}; {retried} events were made due before"),
        })?;
        retry.retried += batch.count;
        skipped.extend(batch.skipped);
        if let Some(audit_id) = batch.audit_id {
            retry.latest = vec![(Uuid::nil(), audit_id)];
        }
        match batch.highest {
            // Even after a batch that was not full: locked events may have been settled meanwhile.
            Some(highest) => above = highest,
            None => break,
        }
    }
    // Events that were settled or retried meanwhile match no more.
    let skipped = skipped::find(session, &skipped, [], Eligible::HeldBack).await?;
    retry.not_retried =
        skipped.into_iter().filter(|event| event.reason == SkipReason::Locked).collect();
    Ok(retry)
}

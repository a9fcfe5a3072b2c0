//! `retry`: makes events due that are stuck or wait for their next attempt.

use anyhow::anyhow;
use clap::{ArgGroup, Args};
use serde::Serialize;
use uuid::Uuid;

use super::acknowledged::{Relays, Silent};
use super::queries::Changed;
use super::selection::{Filter, Selection};
use super::session::{Purpose, Session};
use super::signature::{ActorArgs, Signature, words};
use super::target::Target;
use super::untouched::{self, Untouched};
use super::{End, print, queries};

/// Events that a statement makes due, so that none holds the relays up.
const BATCH: i64 = 1000;

/// Arguments of `retry`.
#[derive(Debug, Args)]
#[command(
    after_help = "An event that somebody has locked is left out and named. The command ends when every relay at work has confirmed that it \
                  has seen the change; the exit status is 3 when one does not within 10 s.",
    group = ArgGroup::new("which").required(true).multiple(true).args(["EVENT_ID", "stuck", "aggregate", "event_type"])
)]
pub struct RetryArgs {
    /// Events by their event_id
    #[arg(value_name = "EVENT_ID", id = "EVENT_ID", conflicts_with_all = ["stuck", "aggregate", "event_type"])]
    event_ids: Vec<Uuid>,
    /// Only stuck events; without it, also those that wait for their next attempt
    #[arg(long)]
    stuck: bool,
    #[command(flatten)]
    selection: Selection,
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
}

#[derive(Serialize)]
struct Document {
    retried: i64,
    not_confirmed_by: Vec<Silent>,
    not_retried: Vec<Untouched>,
}

/// What was done.
#[derive(Debug, Default)]
struct Done {
    retried: i64,
    /// The latest event that was retried.
    latest: Changed,
    not_retried: Vec<Untouched>,
}

impl RetryArgs {
    pub(super) async fn run(self) -> anyhow::Result<End> {
        let session = self.target.open("retry", Purpose::Change).await?;
        let signature = self.actor.sign(&session, self.reason);
        let relays = Relays::at_work(&session).await?;
        let Done { retried, latest, not_retried } = if self.event_ids.is_empty() {
            let filter = self.selection.into();
            matching(&session, self.stuck, &filter, &signature).await?
        } else {
            named(&session, &self.event_ids, &signature).await?
        };
        let acknowledged = relays.acknowledge(&session, &latest).await?;
        // What is due already is as it was asked for.
        let failed = not_retried.iter().any(|event| event.why != untouched::Why::Pending);
        let end = acknowledged.end(if failed { End::Findings } else { End::Well });
        if self.json {
            let not_confirmed_by = acknowledged.not_confirmed_by;
            print::document(&Document { retried, not_confirmed_by, not_retried })?;
        } else {
            let plural = if retried == 1 { "event is" } else { "events are" };
            print::text(&format!("{retried} {plural} due again.\n"))?;
            acknowledged.tell("retried");
            untouched::tell(&not_retried, "retried", "it is due already");
        }
        Ok(end)
    }
}

async fn named(
    session: &Session,
    event_ids: &[Uuid],
    signature: &Signature,
) -> anyhow::Result<Done> {
    let latest = queries::retry_events(session, event_ids, signature).await?;
    let changed = latest.iter().map(|(event_id, _)| *event_id);
    let not_retried = untouched::of(session, event_ids, changed, |held_back| held_back).await?;
    Ok(Done { retried: i64::try_from(latest.len())?, latest, not_retried })
}

async fn matching(
    session: &Session,
    only_stuck: bool,
    filter: &Filter,
    signature: &Signature,
) -> anyhow::Result<Done> {
    let (mut done, mut above, mut left_out) = (Done::default(), 0, Vec::new());
    loop {
        let batch = queries::retry_matching(session, above, BATCH, only_stuck, filter, signature);
        let batch = batch.await.map_err(|error| match done.retried {
            0 => error,
            retried => anyhow!("{error:#}; {retried} events were made due before"),
        })?;
        done.retried += batch.count;
        left_out.extend(batch.left_out);
        if let Some(audit_id) = batch.audit_id {
            done.latest = vec![(Uuid::nil(), audit_id)];
        }
        match batch.highest {
            // Also when there were fewer than a batch: some may have been locked and settled meanwhile.
            Some(highest) => above = highest,
            None => break,
        }
    }
    // What was settled or retried by somebody else meanwhile matches no more.
    let left_out = untouched::of(session, &left_out, [], |held_back| held_back).await?;
    done.not_retried =
        left_out.into_iter().filter(|event| event.why == untouched::Why::Locked).collect();
    Ok(done)
}

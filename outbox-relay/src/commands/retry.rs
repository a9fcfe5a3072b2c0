//! `retry`: makes events due that are stuck or wait for their next attempt.

use clap::{ArgGroup, Args};
use serde::Serialize;
use uuid::Uuid;

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
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["EVENT_ID", "stuck", "aggregate", "event_type"]))]
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
    not_retried: Vec<Untouched>,
}

impl RetryArgs {
    pub(super) async fn run(self) -> anyhow::Result<End> {
        let session = self.target.open("retry", Purpose::Change).await?;
        let signature = self.actor.sign(&session, self.reason);
        let (retried, not_retried) = if self.event_ids.is_empty() {
            let filter = self.selection.into();
            (matching(&session, self.stuck, &filter, &signature).await?, Vec::new())
        } else {
            let retried = queries::retry_events(&session, &self.event_ids, &signature).await?;
            let others = untouched::of(&session, &self.event_ids, &retried).await?;
            (i64::try_from(retried.len())?, others)
        };
        // What is due already is as it was asked for.
        let failed = not_retried.iter().any(|event| event.why != untouched::Why::Pending);
        if self.json {
            print::document(&Document { retried, not_retried })?;
        } else {
            let plural = if retried == 1 { "event is" } else { "events are" };
            print::text(&format!("{retried} {plural} due again.\n"))?;
            for event in &not_retried {
                print::aside(&event.sentence("retried", "it is due already"));
            }
        }
        Ok(if failed { End::Findings } else { End::Well })
    }
}

async fn matching(
    session: &Session,
    only_stuck: bool,
    filter: &Filter,
    signature: &Signature,
) -> anyhow::Result<i64> {
    let (mut retried, mut above) = (0, 0);
    loop {
        let (count, highest) =
            queries::retry_matching(session, above, BATCH, only_stuck, filter, signature).await?;
        retried += count;
        match highest {
            // Also when there were fewer than a batch: some may have been locked and settled meanwhile.
            Some(highest) => above = highest,
            None => return Ok(retried),
        }
    }
}

//! `discard`: deletes events that are not to be published.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::sleep;
use uuid::Uuid;

use super::args::{ActorArgs, ConnectionArgs, single_line};
use super::outcome::Outcome;
use super::output;
use super::propagation::{ActiveRelays, Propagation};
use super::queries::{self, Attribution, Changed};
use super::session::{Access, Session};
use super::skipped::{self, Eligible, SkippedEvent};

/// How often to try a locked event, and the pause in between. A relay that settles an event holds
/// its lock for less time.
const ATTEMPTS: u32 = 5;
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Arguments of `discard`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  outbox-relay discard 0190163d-8694-739b-aea5-966c26f8ad91 --reason 'a test order'"
)]
pub struct DiscardArgs {
    /// The event_id of each event
    #[arg(value_name = "EVENT_ID", id = "EVENT_ID", required = true)]
    event_ids: Vec<Uuid>,
    /// The reason, for the audit table
    #[arg(long, value_name = "TEXT", value_parser = single_line, required = true)]
    reason: String,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Serialize)]
struct DiscardReport {
    discarded: Vec<Uuid>,
    #[serde(flatten)]
    propagation: Propagation,
    not_discarded: Vec<SkippedEvent>,
}

impl DiscardArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let session = self.connection.open("discard", Access::Write).await?;
        let attribution = self.actor.attribution(&session, Some(self.reason));
        let relays = ActiveRelays::find(&session).await?;
        // First, as the rows of outbox_unsettled are deleted with the events.
        let confirmed = queries::find_unsettled_published(&session, &self.event_ids).await?;
        let changed = discard(&session, &self.event_ids, &attribution).await?;
        let discarded: Vec<Uuid> = changed.iter().map(|(event_id, _)| *event_id).collect();
        let not_discarded =
            skipped::find(&session, &self.event_ids, discarded.iter().copied(), Eligible::Pending)
                .await?;
        let mut propagation = relays.wait_for(&session, &changed).await?;
        propagation.add_in_flight(confirmed.into_iter().filter(|id| discarded.contains(id)));
        let outcome = if not_discarded.is_empty() { Outcome::Ok } else { Outcome::Problems };
        let outcome = propagation.outcome(outcome);
        if self.json {
            output::json(&DiscardReport { discarded, propagation, not_discarded })?;
            return Ok(outcome);
        }
        let (count, audit) = (discarded.len(), session.table().quoted("_audit"));
        output::text(&match count {
            0 => "0 events are discarded.\n".to_owned(),
            1 => format!("1 event is discarded; {audit} keeps a copy.\n"),
            _ => format!("{count} events are discarded; {audit} keeps a copy of each.\n"),
        })?;
        propagation.print("discarded");
        skipped::print(&not_discarded, "discarded", "it was changed meanwhile");
        Ok(outcome)
    }
}

/// Discards the events, trying again those that are locked.
async fn discard(
    session: &Session,
    event_ids: &[Uuid],
    attribution: &Attribution,
) -> anyhow::Result<Changed> {
    let mut changed = queries::discard(session, event_ids, attribution).await?;
    for _ in 1..ATTEMPTS {
        let rest: Vec<Uuid> = event_ids
            .iter()
            .copied()
            .filter(|event_id| !changed.iter().any(|(done, _)| done == event_id))
            .collect();
        let states = queries::find_event_states(session, &rest).await?;
        if states.iter().all(|(_, state)| state.published_at.is_some()) {
            break;
        }
        sleep(RETRY_INTERVAL).await;
        changed.extend(queries::discard(session, &rest, attribution).await?);
    }
    Ok(changed)
}

//! `discard`: deletes events that are not to be published.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::sleep;
use uuid::Uuid;

use super::acknowledged::{Acknowledged, Relays};
use super::queries::Changed;
use super::session::{Purpose, Session};
use super::signature::{ActorArgs, Signature, words};
use super::target::Target;
use super::untouched::{self, Untouched};
use super::{End, print, queries};

/// How often what somebody has locked is tried, and the pause: a relay that notes that an event is published holds it no longer.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// Arguments of `discard`.
#[derive(Debug, Args)]
#[command(
    after_help = "Events that are published can't be discarded, and none that somebody has locked. The command ends when every relay at \
                  work has confirmed that it won't send them any more. What a relay had sent by then is in flight and may still arrive, or \
                  has arrived: the exit status is 3 then, as it is when a relay does not confirm within 10 s."
)]
pub struct DiscardArgs {
    /// Events by their event_id
    #[arg(value_name = "EVENT_ID", id = "EVENT_ID", required = true)]
    event_ids: Vec<Uuid>,
    /// Why, for the audit table
    #[arg(long, value_name = "TEXT", value_parser = words, required = true)]
    reason: String,
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
    discarded: Vec<Uuid>,
    #[serde(flatten)]
    acknowledged: Acknowledged,
    not_discarded: Vec<Untouched>,
}

impl DiscardArgs {
    pub(super) async fn run(self) -> anyhow::Result<End> {
        let session = self.target.open("discard", Purpose::Change).await?;
        let signature = self.actor.sign(&session, Some(self.reason));
        let relays = Relays::at_work(&session).await?;
        // Before their notes are gone with them.
        let confirmed = queries::find_confirmed(&session, &self.event_ids).await?;
        let changed = discard(&session, &self.event_ids, &signature).await?;
        let discarded: Vec<Uuid> = changed.iter().map(|(event_id, _)| *event_id).collect();
        let not_discarded =
            untouched::of(&session, &self.event_ids, discarded.iter().copied(), |_| true).await?;
        let mut acknowledged = relays.acknowledge(&session, &changed).await?;
        acknowledged.add_in_flight(confirmed.into_iter().filter(|id| discarded.contains(id)));
        let end = if not_discarded.is_empty() { End::Well } else { End::Findings };
        let end = acknowledged.end(end);
        if self.json {
            print::document(&Document { discarded, acknowledged, not_discarded })?;
            return Ok(end);
        }
        let (count, audit) = (discarded.len(), session.table().quoted("_audit"));
        print::text(&match count {
            0 => "0 events are discarded.\n".to_owned(),
            1 => format!("1 event is discarded; {audit} keeps a copy.\n"),
            _ => format!("{count} events are discarded; {audit} keeps a copy of each.\n"),
        })?;
        acknowledged.tell("discarded");
        untouched::tell(&not_discarded, "discarded", "somebody changed it meanwhile");
        Ok(end)
    }
}

/// Discards what is not locked at once, and what is locked for a moment only a moment later.
async fn discard(
    session: &Session,
    event_ids: &[Uuid],
    signature: &Signature,
) -> anyhow::Result<Changed> {
    let mut changed = queries::discard(session, event_ids, signature).await?;
    for _ in 1..TRIES {
        let left: Vec<Uuid> = event_ids
            .iter()
            .copied()
            .filter(|event_id| !changed.iter().any(|(done, _)| done == event_id))
            .collect();
        let states = queries::find_states(session, &left).await?;
        if states.iter().all(|(_, state)| state.published_at.is_some()) {
            break;
        }
        sleep(PAUSE).await;
        changed.extend(queries::discard(session, &left, signature).await?);
    }
    Ok(changed)
}

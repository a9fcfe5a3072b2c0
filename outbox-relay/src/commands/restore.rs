//! `restore`: undoes a discard.

use std::collections::HashSet;

use clap::Args;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::args::{ActorArgs, ConnectionArgs, single_line};
use super::outcome::Outcome;
use super::output;
use super::queries::Attribution;
use super::session::{Access, Session};

/// Arguments of `restore`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  outbox-relay restore 0190163d-8694-739b-aea5-966c26f8ad91 --reason 'it was no test order'"
)]
pub struct RestoreArgs {
    /// The event_id of each event
    #[arg(value_name = "EVENT_ID", id = "EVENT_ID", required = true)]
    event_ids: Vec<Uuid>,
    /// The reason, for the audit table
    #[arg(long, env = "OUTBOX_REASON", value_name = "TEXT", value_parser = single_line, required = true)]
    reason: String,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// An event that is in the outbox again.
#[derive(Debug, Serialize)]
struct RestoredEvent {
    event_id: Uuid,
    /// The new id.
    id: i64,
}

/// Why an event was not restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum NotRestoredReason {
    /// An event with this `event_id` is in the outbox.
    InOutbox,
    /// The audit table has no copy of it.
    NoCopy,
    /// The copy was forgotten.
    Forgotten,
    /// It was restored before, and has left the outbox since.
    RestoredBefore,
}

/// An event that was not restored.
#[derive(Debug, Serialize)]
struct NotRestored {
    event_id: Uuid,
    #[serde(rename = "why")]
    reason: NotRestoredReason,
}

impl NotRestored {
    fn sentence(&self, table: &str) -> String {
        let id = self.event_id;
        let why = match self.reason {
            NotRestoredReason::InOutbox => format!("it is in {table}; see outbox-relay show {id}"),
            NotRestoredReason::NoCopy => {
                "there is no copy of it: it was never discarded, or the audit row was pruned"
                    .to_owned()
            }
            NotRestoredReason::Forgotten => "its contents were forgotten".to_owned(),
            NotRestoredReason::RestoredBefore => {
                "it was restored before, and has been published and pruned since".to_owned()
            }
        };
        format!("{id} was not restored: {why}")
    }
}

#[derive(Serialize)]
struct RestoreReport {
    restored: Vec<RestoredEvent>,
    not_restored: Vec<NotRestored>,
}

impl RestoreArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let session = self.connection.open("restore", Access::Write).await?;
        session.require_operations()?;
        let attribution = self.actor.attribution(&session, Some(self.reason));
        let restored = restore(&session, &self.event_ids, &attribution).await?;
        let mut seen: HashSet<Uuid> = restored.iter().map(|event| event.event_id).collect();
        let rest: Vec<Uuid> = self.event_ids.into_iter().filter(|id| seen.insert(*id)).collect();
        let not_restored = find_reasons(&session, &rest).await?;
        let outcome = if not_restored.is_empty() { Outcome::Ok } else { Outcome::Problems };
        if self.json {
            output::json(&RestoreReport { restored, not_restored })?;
            return Ok(outcome);
        }
        output::text(&match &restored[..] {
            [event] => format!("1 event is restored, with the id {}.\n", event.id),
            events => format!("{} events are restored.\n", events.len()),
        })?;
        let table = session.table().to_string();
        for event in &not_restored {
            output::note(&event.sentence(&table));
        }
        Ok(outcome)
    }
}

async fn restore(
    session: &Session,
    event_ids: &[Uuid],
    attribution: &Attribution,
) -> anyhow::Result<Vec<RestoredEvent>> {
    let sql = include_str!("../../../sql/relay/commands/restore.sql");
    let Attribution { actor, reason, operation_id } = attribution;
    let rows = session.query_audited(sql, &[&event_ids, actor, reason, operation_id]).await?;
    let read = |row: &Row| {
        Ok(RestoredEvent { event_id: row.try_get("event_id")?, id: row.try_get("id")? })
    };
    rows.iter().map(read).collect()
}

/// Returns why each of `event_ids` was not restored.
async fn find_reasons(session: &Session, event_ids: &[Uuid]) -> anyhow::Result<Vec<NotRestored>> {
    if event_ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = include_str!("../../../sql/relay/commands/find_discards.sql");
    let rows = session.query(sql, &[&event_ids]).await?;
    let read = |row: &Row| {
        let action: Option<String> = row.try_get("action")?;
        let reason = match action.as_deref() {
            _ if row.try_get("is_in_outbox")? => NotRestoredReason::InOutbox,
            None => NotRestoredReason::NoCopy,
            Some("restore") => NotRestoredReason::RestoredBefore,
            Some(_) if !row.try_get::<_, bool>("has_contents")? => NotRestoredReason::Forgotten,
            // It was in the outbox a moment ago.
            Some(_) => NotRestoredReason::InOutbox,
        };
        Ok(NotRestored { event_id: row.try_get("event_id")?, reason })
    };
    rows.iter().map(read).collect()
}

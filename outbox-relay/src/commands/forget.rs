//! `forget`: erases the contents of events that are kept after they have left the outbox.

use std::collections::HashSet;
use std::io::{IsTerminal as _, stdin};

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::args::{ActorArgs, ConnectionArgs, single_line};
use super::outcome::{Outcome, UsageError};
use super::output;
use super::queries::{self, Attribution, ids};
use super::session::{Access, Session};
use super::skipped::{self, Eligible, SkipReason, SkippedEvent};

/// Arguments of `forget`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  outbox-relay forget 0190163d-8694-739b-aea5-966c26f8ad91 --reason 'request 4711 of a customer'"
)]
pub struct ForgetArgs {
    /// The event_id of each event
    #[arg(value_name = "EVENT_ID", id = "EVENT_ID", required = true)]
    event_ids: Vec<Uuid>,
    /// Erase without asking
    #[arg(long, short)]
    yes: bool,
    /// The reason, for the audit table
    #[arg(long, env = "OUTBOX_REASON", value_name = "TEXT", value_parser = single_line, required = true)]
    reason: String,
    /// Erase also the reasons that people gave for other changes of it, which may name a person
    #[arg(long)]
    with_reasons: bool,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Serialize)]
struct ForgetReport {
    forgotten: Vec<Uuid>,
    /// Events that have left the outbox, and of whose contents nothing was kept any more.
    forgotten_before: Vec<Uuid>,
    not_forgotten: Vec<SkippedEvent>,
}

impl ForgetArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let distinct: HashSet<Uuid> = self.event_ids.iter().copied().collect();
        if !self.yes && !stdin().is_terminal() {
            return Err(UsageError(
                "forget asks before it erases, but standard input is no terminal: use --yes to erase"
                    .to_owned(),
            )
            .into());
        }
        let session = self.connection.open("forget", Access::Write).await?;
        session.require_operations()?;
        if !self.yes && !ask(distinct.len()).await? {
            return Err(anyhow!("nothing was erased"));
        }
        let attribution = self.actor.attribution(&session, Some(self.reason));
        let forgotten = forget(&session, &self.event_ids, self.with_reasons, &attribution).await?;
        let mut not_forgotten = find_skipped(&session, &self.event_ids, &forgotten).await?;
        let forgotten_before = take_forgotten_before(&session, &mut not_forgotten).await?;
        let outcome = if not_forgotten.is_empty() { Outcome::Ok } else { Outcome::Problems };
        if self.json {
            output::json(&ForgetReport { forgotten, forgotten_before, not_forgotten })?;
            return Ok(outcome);
        }
        let plural = if forgotten.len() == 1 { "event is" } else { "events are" };
        output::text(&format!("{} {plural} forgotten.\n", forgotten.len()))?;
        if !forgotten_before.is_empty() {
            let count = forgotten_before.len();
            output::note(&format!("Of {count} more nothing was kept any more."));
        }
        skipped::print(&not_forgotten, "forgotten", "it is pending, discard it first");
        Ok(outcome)
    }
}

/// Asks whether to erase, and returns the answer.
async fn ask(events: usize) -> anyhow::Result<bool> {
    let of = if events == 1 { "1 event".to_owned() } else { format!("{events} events") };
    output::prompt(&format!("Erase the contents of {of} for ever? [y/N] "));
    let answer = spawn_blocking(|| {
        let mut line = String::new();
        stdin().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await?.context("no answer can be read")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn forget(
    session: &Session,
    event_ids: &[Uuid],
    with_reasons: bool,
    attribution: &Attribution,
) -> anyhow::Result<Vec<Uuid>> {
    let sql = include_str!("../../../sql/relay/commands/forget.sql");
    let Attribution { actor, reason, operation_id } = attribution;
    let params: [&(dyn ToSql + Sync); 5] = [&event_ids, actor, reason, operation_id, &with_reasons];
    ids(&session.query_audited(sql, &params).await?)
}

/// Returns the events that were not forgotten. A published one that is still there counts as locked.
async fn find_skipped(
    session: &Session,
    event_ids: &[Uuid],
    forgotten: &[Uuid],
) -> anyhow::Result<Vec<SkippedEvent>> {
    let rest: Vec<Uuid> = event_ids.iter().copied().filter(|id| !forgotten.contains(id)).collect();
    let states = queries::find_event_states(session, &rest).await?;
    let published = states.into_iter().filter(|(_, state)| state.published_at.is_some());
    let published: Vec<Uuid> = published.map(|(event_id, _)| event_id).collect();
    let others: Vec<Uuid> = rest.into_iter().filter(|id| !published.contains(id)).collect();
    let mut skipped = skipped::find(session, &others, [], Eligible::None).await?;
    skipped.extend(skipped::find_locked(session, &published).await?);
    Ok(skipped)
}

/// Takes out of `skipped` what has left the outbox and is known to the audit table: all that this
/// kept was erased, by this command or before, so that a command may be repeated.
async fn take_forgotten_before(
    session: &Session,
    skipped: &mut Vec<SkippedEvent>,
) -> anyhow::Result<Vec<Uuid>> {
    let gone = skipped.iter().filter(|event| event.reason == SkipReason::NotFound);
    let gone: Vec<Uuid> = gone.map(|event| event.event_id).collect();
    if gone.is_empty() {
        return Ok(gone);
    }
    let sql = include_str!("../../../sql/relay/commands/find_audited.sql");
    let audited = ids(&session.query(sql, &[&gone]).await?)?;
    skipped.retain(|event| !audited.contains(&event.event_id));
    Ok(audited)
}

//! `discard`: deletes events that are not to be published.

use std::collections::HashSet;
use std::time::Duration;

use clap::{ArgGroup, Args};
use serde::Serialize;
use tokio::time::sleep;
use uuid::Uuid;

use super::args::{ActorArgs, ConnectionArgs, CreatedArgs, ExpectArgs, FilterArgs, single_line};
use super::consent::Consent;
use super::outcome::Outcome;
use super::output;
use super::propagation::{ActiveRelays, Propagation};
use super::queries::{self, Attribution, Candidates, Changed, Conditions, EventKey, Filter};
use super::selection::{Selection, without};
use super::session::{Access, Session};
use super::skipped::{self, Eligible, SkippedEvent};

/// How often to try a locked event, and the pause in between. A relay that settles an event holds
/// its lock for less time.
const ATTEMPTS: u32 = 5;
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Arguments of `discard`.
#[derive(Debug, Args)]
#[command(
    override_usage = "outbox-relay discard [OPTIONS] --reason <TEXT> <EVENT_ID>...\n       outbox-relay discard [OPTIONS] --reason <TEXT> [--stuck] [--fingerprint <CAUSE>] [--type <TYPE>] [...]",
    after_help = "Examples:\n  outbox-relay discard 0190163d-8694-739b-aea5-966c26f8ad91 --reason 'a test order'\n  outbox-relay discard --stuck --aggregate-type test --reason 'test orders' --expect 12",
    group = ArgGroup::new("which").required(true).multiple(true).args(["EVENT_ID", "stuck", "aggregate", "aggregate_type", "event_type", "fingerprint", "kind", "error", "since", "until", "up_to_id"])
)]
pub struct DiscardArgs {
    /// The event_id of each event
    #[arg(value_name = "EVENT_ID", id = "EVENT_ID", conflicts_with_all = ["stuck", "aggregate", "aggregate_type", "event_type", "fingerprint", "kind", "error", "since", "until", "up_to_id", "expect"])]
    event_ids: Vec<Uuid>,
    /// Only stuck events, not all pending ones
    #[arg(long)]
    stuck: bool,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    created: CreatedArgs,
    #[command(flatten)]
    expect: ExpectArgs,
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

#[derive(Serialize)]
struct DiscardReport {
    matched: usize,
    discarded: Vec<Uuid>,
    /// By which the audit table has the rows of this command.
    operation_id: Uuid,
    #[serde(flatten)]
    propagation: Propagation,
    not_discarded: Vec<SkippedEvent>,
}

impl DiscardArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let consent = Consent { verb: "discard", noun: "event", expect: self.expect, yes: None };
        let is_named = !self.event_ids.is_empty();
        if !is_named {
            consent.require_terminal()?;
        }
        let session = self.connection.open("discard", Access::Write).await?;
        let selection = self.select(&session).await?;
        if self.expect.dry_run {
            selection.print_dry_run(&session, "discarded", self.json).await?;
            return Ok(Outcome::Ok);
        }
        if !is_named {
            consent.obtain(selection.len()).await?;
        }
        let attribution = self.actor.attribution(&session, Some(self.reason));
        let mut relays = ActiveRelays::find(&session).await?;
        let named = if is_named { self.event_ids } else { selection.event_ids() };
        // First, as the rows of outbox_unsettled are deleted with the events.
        let confirmed = queries::find_unsettled_published(&session, &named).await?;
        let result = selection
            .change(self.json, async |events, changed| {
                let conditions = &selection.conditions;
                discard(&session, conditions, events, &attribution, changed).await?;
                relays.keep_reports(&session).await
            })
            .await?;
        let found = async {
            let skipped = selection.skipped(&session, &named, &result, Eligible::Pending).await?;
            anyhow::Ok((skipped, relays.wait_for(&session, &result.changed).await?))
        };
        let (not_discarded, mut propagation) = match found.await {
            Ok(found) => found,
            Err(error) => return Err(result.into_error(error, "discarded")),
        };
        let discarded: Vec<Uuid> = result.changed.iter().map(|(event_id, _)| *event_id).collect();
        let is_discarded: HashSet<&Uuid> = discarded.iter().collect();
        propagation.add_in_flight(confirmed.into_iter().filter(|id| is_discarded.contains(id)));
        let outcome = if not_discarded.is_empty() { Outcome::Ok } else { Outcome::Problems };
        let outcome = propagation.outcome(outcome);
        if self.json {
            let (matched, operation_id) = (selection.len(), attribution.operation_id);
            output::json(&DiscardReport {
                matched,
                discarded,
                operation_id,
                propagation,
                not_discarded,
            })?;
            return result.finish(outcome, "discarded");
        }
        let (count, audit) = (discarded.len(), session.table().quoted("_audit"));
        output::text(&match count {
            0 => "0 events are discarded.\n".to_owned(),
            1 => format!("1 event is discarded; {audit} keeps a copy.\n"),
            _ => format!("{count} events are discarded; {audit} keeps a copy of each.\n"),
        })?;
        propagation.print("discarded");
        skipped::print(&not_discarded, "discarded", "it was changed meanwhile");
        result.finish(outcome, "discarded")
    }

    async fn select(&self, session: &Session) -> anyhow::Result<Selection> {
        let candidates = if self.stuck { Candidates::Stuck } else { Candidates::Pending };
        if !self.event_ids.is_empty() {
            return Selection::named(session, candidates, &self.event_ids).await;
        }
        let filter = self.created.add_to(self.filter.filter(session)?, session).await?;
        let filter = Filter { up_to_id: self.expect.up_to_id, ..filter };
        Selection::matching(session, Conditions { filter, candidates }).await
    }
}

/// Discards the events, trying again those that are locked, and adds those that are gone to
/// `changed`.
async fn discard(
    session: &Session,
    conditions: &Conditions,
    events: &[EventKey],
    attribution: &Attribution,
    changed: &mut Changed,
) -> anyhow::Result<()> {
    let mut rest = events.to_vec();
    for attempt in 1.. {
        let discarded = queries::discard_events(session, conditions, &rest, attribution).await?;
        rest = without(&rest, &discarded);
        changed.extend(discarded);
        let event_ids: Vec<Uuid> = rest.iter().map(|event| event.event_id).collect();
        // What does not match any more has been changed by somebody else.
        if attempt >= ATTEMPTS
            || rest.is_empty()
            || queries::find_matching(session, conditions, &event_ids).await?.is_empty()
        {
            break;
        }
        sleep(RETRY_INTERVAL).await;
    }
    Ok(())
}

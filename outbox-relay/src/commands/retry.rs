//! `retry`: makes events due that are stuck or wait for their next attempt.

use clap::{ArgGroup, Args};
use serde::Serialize;
use uuid::Uuid;

use super::args::{ActorArgs, ConnectionArgs, CreatedArgs, ExpectArgs, FilterArgs, single_line};
use super::consent::Consent;
use super::outcome::Outcome;
use super::output;
use super::propagation::{ActiveRelays, UnconfirmedRelay};
use super::queries::{self, Candidates, Conditions, Filter};
use super::selection::Selection;
use super::session::{Access, Session};
use super::skipped::{self, Eligible, SkipReason, SkippedEvent};

/// Arguments of `retry`.
#[derive(Debug, Args)]
#[command(
    override_usage = "outbox-relay retry [OPTIONS] <EVENT_ID>...\n       outbox-relay retry [OPTIONS] [--stuck] [--fingerprint <CAUSE>] [--type <TYPE>] [...]",
    after_help = "Examples:\n  outbox-relay retry 0190163d-8694-739b-aea5-966c26f8ad91 --reason 'the queue is bound'\n  outbox-relay retry --stuck --type order.created --dry-run\n  outbox-relay retry --fingerprint 1c86b10cf079f317 --expect 1200 --up-to-id 5310",
    group = ArgGroup::new("which").required(true).multiple(true).args(["EVENT_ID", "stuck", "aggregate", "aggregate_type", "event_type", "fingerprint", "kind", "error", "since", "until", "up_to_id"])
)]
pub struct RetryArgs {
    /// The event_id of each event
    #[arg(value_name = "EVENT_ID", id = "EVENT_ID", conflicts_with_all = ["stuck", "aggregate", "aggregate_type", "event_type", "fingerprint", "kind", "error", "since", "until", "up_to_id", "expect"])]
    event_ids: Vec<Uuid>,
    /// Only stuck events, not those that wait for their next attempt
    #[arg(long)]
    stuck: bool,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    created: CreatedArgs,
    #[command(flatten)]
    expect: ExpectArgs,
    /// Retry without asking, however many events match
    #[arg(long, short)]
    yes: bool,
    /// The reason, for the audit table
    #[arg(long, env = "OUTBOX_REASON", value_name = "TEXT", value_parser = single_line)]
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
    matched: usize,
    retried: usize,
    /// By which the audit table has the rows of this command.
    operation_id: Uuid,
    not_confirmed_by: Vec<UnconfirmedRelay>,
    not_retried: Vec<SkippedEvent>,
}

impl RetryArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let consent =
            Consent { verb: "retry", noun: "event", expect: self.expect, yes: Some(self.yes) };
        let is_named = !self.event_ids.is_empty();
        if !is_named {
            consent.require_terminal()?;
        }
        let session = self.connection.open("retry", Access::Write).await?;
        let selection = self.select(&session).await?;
        if self.expect.dry_run {
            selection.print_dry_run(&session, "retried", self.json).await?;
            return Ok(Outcome::Ok);
        }
        if !is_named {
            consent.obtain(selection.len()).await?;
        }
        let attribution = self.actor.attribution(&session, self.reason);
        let mut relays = ActiveRelays::find(&session).await?;
        let result = selection
            .change(self.json, async |events, changed| {
                let conditions = &selection.conditions;
                let retried = queries::retry_events(&session, conditions, events, &attribution);
                changed.extend(retried.await?);
                relays.keep_reports(&session).await
            })
            .await?;
        let named = if is_named { self.event_ids } else { selection.event_ids() };
        let found = async {
            let skipped = selection.skipped(&session, &named, &result, Eligible::HeldBack).await?;
            anyhow::Ok((skipped, relays.wait_for(&session, &result.changed).await?))
        };
        let (not_retried, propagation) = match found.await {
            Ok(found) => found,
            Err(error) => return Err(result.into_error(error, "made due")),
        };
        // An event that is due already is as the person wants it. One that matched and was
        // published meanwhile, too.
        let failed = not_retried.iter().any(|event| match event.reason {
            SkipReason::Locked | SkipReason::Refused => true,
            SkipReason::Pending => false,
            SkipReason::Published | SkipReason::NotFound => is_named,
        });
        let outcome = propagation.outcome(if failed { Outcome::Problems } else { Outcome::Ok });
        let changed = &result.changed;
        if self.json {
            let report = RetryReport {
                matched: selection.len(),
                retried: changed.len(),
                operation_id: attribution.operation_id,
                not_confirmed_by: propagation.not_confirmed_by,
                not_retried,
            };
            output::json(&report)?;
        } else {
            let plural = if changed.len() == 1 { "event is" } else { "events are" };
            output::text(&format!("{} {plural} due again.\n", changed.len()))?;
            propagation.print("retried");
            let if_pending = if is_named {
                "it is due already"
            } else {
                "it is due already, or somebody changed it meanwhile"
            };
            skipped::print(&not_retried, "retried", if_pending);
        }
        result.finish(outcome, "made due")
    }

    async fn select(&self, session: &Session) -> anyhow::Result<Selection> {
        let candidates = if self.stuck { Candidates::Stuck } else { Candidates::HeldBack };
        if !self.event_ids.is_empty() {
            return Selection::named(session, candidates, &self.event_ids).await;
        }
        let filter = self.created.add_to(self.filter.filter(session)?, session).await?;
        let filter = Filter { up_to_id: self.expect.up_to_id, ..filter };
        Selection::matching(session, Conditions { filter, candidates }).await
    }
}

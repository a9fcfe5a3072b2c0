//! `resume`: ends pauses.

use clap::{ArgGroup, Args};
use serde::Serialize;

use super::args::{ActorArgs, ConnectionArgs, single_line};
use super::outcome::Outcome;
use super::output;
use super::paused::{ActivePause, SelectorArgs};
use super::propagation::{ActiveRelays, Propagation, UnconfirmedRelay};
use super::queries::{self, PauseSelection};
use super::session::Access;

/// Arguments of `resume`.
#[derive(Debug, Args)]
#[command(
    override_usage = "outbox-relay resume [OPTIONS] <PAUSE_ID>...\n       outbox-relay resume [OPTIONS] [--type <TYPE>] [--aggregate-type <TYPE>] [--aggregate <ID>]\n       outbox-relay resume [OPTIONS] --all",
    after_help = "Examples:\n  outbox-relay resume 3\n  outbox-relay resume --type order.created --reason 'the deploy was rolled back'\n  outbox-relay resume --all",
    group = ArgGroup::new("which").required(true).multiple(true).args(["PAUSE_ID", "all", "event_type", "aggregate_type", "aggregate"])
)]
pub struct ResumeArgs {
    /// The number of each pause, as pauses prints it
    #[arg(value_name = "PAUSE_ID", id = "PAUSE_ID", conflicts_with_all = ["all", "event_type", "aggregate_type", "aggregate"])]
    ids: Vec<i64>,
    #[command(flatten)]
    paused: SelectorArgs,
    /// All pauses, whatever they name
    #[arg(long, conflicts_with_all = ["event_type", "aggregate_type", "aggregate"])]
    all: bool,
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
struct ResumeReport {
    resumed: Vec<ActivePause>,
    not_confirmed_by: Vec<UnconfirmedRelay>,
    not_active: Vec<i64>,
}

impl ResumeArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let session = self.connection.open("resume", Access::Write).await?;
        let attribution = self.actor.attribution(&session, self.reason);
        let relays = ActiveRelays::find(&session).await?;
        let is_named = !self.all && self.ids.is_empty();
        let selection = if self.all {
            PauseSelection::All
        } else if is_named {
            PauseSelection::Naming(self.paused.into())
        } else {
            PauseSelection::Ids(self.ids.clone())
        };
        let (resumed, audit_id): (Vec<ActivePause>, Option<i64>) =
            queries::resume(&session, &selection, &attribution).await?;
        let propagation = match audit_id {
            Some(audit_id) => relays.wait_for_pauses(&session, audit_id).await?,
            None => Propagation::default(),
        };
        let is_active = |id: &i64| resumed.iter().any(|pause| pause.id == *id);
        let not_active: Vec<i64> = self.ids.into_iter().filter(|id| !is_active(id)).collect();
        let is_done = not_active.is_empty() && !(is_named && resumed.is_empty());
        let outcome = propagation.outcome(if is_done { Outcome::Ok } else { Outcome::Problems });
        if self.json {
            let not_confirmed_by = propagation.not_confirmed_by;
            output::json(&ResumeReport { resumed, not_confirmed_by, not_active })?;
            return Ok(outcome);
        }
        let count = resumed.len();
        let are = if count == 1 { "pause has" } else { "pauses have" };
        output::text(&format!("{count} {are} ended.\n"))?;
        propagation.print("resumed");
        for id in not_active {
            output::note(&format!("{id} is no active pause: outbox-relay pauses lists them"));
        }
        if is_named && count == 0 {
            output::note("no active pause names just that: outbox-relay pauses lists them");
        }
        Ok(outcome)
    }
}

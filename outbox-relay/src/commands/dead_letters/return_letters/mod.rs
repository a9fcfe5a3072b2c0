//! `dead-letters return`: publishes dead letters to the queues that they came from.
//!
//! | module | what it does |
//! |---|---|
//! | `returner` | goes from window to window: marks it, tries it, and tries again |
//! | `attempt` | one attempt at a window: locks, publishes, and notes what became of it |
//! | `refused` | a dead letter that the broker did not take |
//! | `window` | divides dead letters into windows |
//! | `rate` | keeps to a number of messages a second |
//! | `queries` | one function per statement |

mod attempt;
mod queries;
mod rate;
mod refused;
mod returner;
mod window;

use amqp::BrokerArgs;
use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use super::args::{DeskArgs, WhichArgs};
use super::selection::{NOUN, Selection};
use super::skipped::{self, RETURNABLE, SkipReason, SkippedLetter};
use super::tables::Session;
use crate::commands::args::{ActorArgs, single_line};
use crate::commands::consent::Consent;
use crate::commands::outcome::{Outcome, Unavailable};
use crate::commands::output::{self, escape};
use crate::commands::progress::Progress;
use crate::commands::session::Access;
use crate::commands::stop::stop_on_signals;
use crate::dead_letters::Publisher;
use rate::{Pace, Rate};
use refused::Refused;
use returner::{Returned, Returner};

/// How many refused dead letters are printed.
const REFUSED_PRINT_LIMIT: usize = 20;

/// Arguments of `dead-letters return`.
#[derive(Debug, Args)]
#[command(
    override_usage = "outbox-relay dead-letters return [OPTIONS] <ID>...\n       outbox-relay dead-letters return [OPTIONS] [--queue <QUEUE>] [--fingerprint <CAUSE>] [...]",
    after_help = "Examples:\n  outbox-relay dead-letters return 17 --reason 'the customer exists now'\n  outbox-relay dead-letters return --fingerprint 1c86b10cf079f317 --dry-run\n  outbox-relay dead-letters return --fingerprint 1c86b10cf079f317 --expect 1200 --up-to-id 5310 --rate 50/s"
)]
pub struct ReturnArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Return all to this queue, instead of the one that each came from
    #[arg(long, value_name = "QUEUE")]
    to: Option<String>,
    /// The maximum rate: 50/s, 600/m, 10/h
    #[arg(long, value_name = "RATE")]
    rate: Option<Rate>,
    /// Return without asking, however many match
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
    desk: DeskArgs,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// A dead letter that the broker did not take.
#[derive(Debug, Serialize)]
struct RefusedLetter {
    id: i64,
    reason: String,
    /// Whether an earlier attempt ended without an answer.
    may_have_arrived: bool,
}

/// A dead letter whose row the database refuses to change.
#[derive(Debug, Serialize)]
struct UnchangedLetter {
    id: i64,
    reason: String,
}

#[derive(Serialize)]
struct ReturnReport {
    matched: usize,
    returned: usize,
    /// The `operation_id` of this command's rows in the audit table.
    operation_id: Uuid,
    /// Dead letters that are open again.
    refused: Vec<RefusedLetter>,
    unchanged: Vec<UnchangedLetter>,
    /// Dead letters that may have arrived, and stay `returning`.
    unknown: Vec<i64>,
    /// The number of dead letters that were not tried, as the command ended early.
    untried: usize,
    not_returned: Vec<SkippedLetter>,
}

impl ReturnArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let expect = self.which.expect;
        let consent = Consent { verb: "return", noun: NOUN, expect, yes: Some(self.yes) };
        if self.which.ids.is_empty() {
            consent.require_terminal()?;
        }
        let session = self.desk.open("return", Access::Write).await?;
        let selection = Selection::find(&session, &self.which, RETURNABLE).await?;
        if expect.dry_run {
            selection.print_dry_run(&session, "returned", self.json).await?;
            return Ok(Outcome::Ok);
        }
        selection.obtain(consent).await?;
        let attribution = self.actor.clone().attribution(&session, self.reason.clone());
        let stop = stop_on_signals()?;
        // A problem with the tables is reported before connecting to the broker.
        let first = selection.ids.get(..1).unwrap_or_default();
        super::queries::find_states(&session, first).await?;
        let mut publisher = Publisher::new(self.broker.url());
        if let Err(error) = publisher.connect().await {
            let sentence = format!("the broker can't be used, and nothing was changed: {error:#}");
            return Err(Unavailable(sentence).into());
        }
        let returner = Returner {
            session: &session,
            locking: self.desk.open("return", Access::Write).await?,
            publisher,
            was_allowed: false,
            pace: Pace::new(self.rate),
            to: self.to.as_deref(),
            attribution: &attribution,
            stop,
            progress: Progress::new(i64::try_from(selection.ids.len())?, NOUN, self.json),
        };
        let (done, ended) = Box::pin(returner.run(&selection.ids)).await;
        let skipped = find_skipped(&session, &selection, &done).await;
        let (not_returned, ended) = match (skipped, ended) {
            (Ok(skipped), ended) => (skipped, ended),
            (Err(error), Ok(())) | (Err(_), Err(error)) => (Vec::new(), Err(error)),
        };
        let report = report(&selection, done, not_returned, attribution.operation_id);
        self.print(&report)?;
        ended?;
        // A match that somebody else settled meanwhile is no failure.
        let is_failure =
            |letter: &SkippedLetter| selection.is_named || letter.reason != SkipReason::State;
        let all_well = report.refused.is_empty()
            && report.unchanged.is_empty()
            && report.unknown.is_empty()
            && report.untried == 0
            && !report.not_returned.iter().any(is_failure);
        Ok(if all_well { Outcome::Ok } else { Outcome::Problems })
    }

    fn print(&self, report: &ReturnReport) -> anyhow::Result<()> {
        if self.json {
            return output::json(report);
        }
        let is = if report.returned == 1 { "is" } else { "are" };
        output::text(&format!("{} {is} returned.\n", output::counted(report.returned, NOUN)))?;
        for letter in report.refused.iter().take(REFUSED_PRINT_LIMIT) {
            output::note(&escape::line(&letter.sentence()));
        }
        if report.refused.len() > REFUSED_PRINT_LIMIT {
            let more = report.refused.len() - REFUSED_PRINT_LIMIT;
            output::note(&format!("… and {more} more were not returned; --json names them all"));
        }
        for UnchangedLetter { id, reason } in report.unchanged.iter().take(REFUSED_PRINT_LIMIT) {
            output::note(&escape::line(&format!("{id}: {reason}")));
        }
        if report.unchanged.len() > REFUSED_PRINT_LIMIT {
            let more = report.unchanged.len() - REFUSED_PRINT_LIMIT;
            output::note(&format!(
                "… and {more} more rows can't be changed; --json names them all"
            ));
        }
        if !report.unknown.is_empty() {
            output::note(&format!(
                "Of {} it is not known whether they have arrived: they are marked as being returned, and the next return \
                 sends them again (list --state returning).",
                report.unknown.len()
            ));
        }
        if report.untried > 0 {
            output::note(&format!("{} were not tried.", output::counted(report.untried, NOUN)));
        }
        skipped::print(&report.not_returned, "returned");
        Ok(())
    }
}

impl RefusedLetter {
    fn sentence(&self) -> String {
        let Self { id, reason, may_have_arrived } = self;
        let but =
            if *may_have_arrived { ", though an earlier attempt may have arrived" } else { "" };
        format!("{id} was not returned and is open{but}: {reason}")
    }
}

fn report(
    selection: &Selection,
    done: Returned,
    not_returned: Vec<SkippedLetter>,
    operation_id: Uuid,
) -> ReturnReport {
    let refused = done.refused.into_iter().map(|Refused { id, reason, may_have_arrived }| {
        RefusedLetter { id, reason, may_have_arrived }
    });
    let unchanged = done.unchanged.into_iter().map(|(id, reason)| UnchangedLetter { id, reason });
    ReturnReport {
        matched: selection.ids.len(),
        returned: done.returned.len(),
        operation_id,
        refused: refused.collect(),
        unchanged: unchanged.collect(),
        unknown: done.unknown,
        untried: done.untried.len(),
        not_returned,
    }
}

/// Returns the dead letters that were skipped, and why.
async fn find_skipped(
    session: &Session,
    selection: &Selection,
    done: &Returned,
) -> anyhow::Result<Vec<SkippedLetter>> {
    let refused = done.refused.iter().map(|letter| &letter.id);
    let unchanged = done.unchanged.iter().map(|(id, _)| id);
    let known = done.returned.iter().chain(refused).chain(unchanged);
    let known = known.chain(&done.unknown).chain(&done.untried);
    skipped::find_unless(session, &selection.ids, known.copied(), RETURNABLE).await
}

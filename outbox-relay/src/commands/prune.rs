//! `prune`: deletes events that were published long enough ago.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;

use super::args::{ConnectionArgs, TimeArg};
use super::outcome::{Outcome, UsageError};
use super::session::Access;
use super::skipped::{self, SkippedEvent};
use super::{output, queries};
use crate::config::{Retention, RetentionArgs};

/// How many rows a statement reads. Few enough not to delay the relays.
const PAGE_ROWS: i64 = 2000;

/// Arguments of `prune`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outbox-relay prune --older-than 30d --dry-run")]
pub struct PruneArgs {
    /// Delete events published longer ago than this; by default OUTBOX_RETENTION
    #[arg(long, value_name = "DURATION")]
    older_than: Option<Retention>,
    /// Only count the events
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    retention: RetentionArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Serialize)]
struct PruneReport {
    pruned: i64,
    dry_run: bool,
    not_pruned: Vec<SkippedEvent>,
}

impl PruneArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let age = match self.older_than.unwrap_or(self.retention.outbox_retention) {
            Retention::For(age) => age,
            Retention::None => Duration::ZERO,
            Retention::Unlimited => {
                let sentence = "OUTBOX_RETENTION is off: say with --older-than what to delete";
                return Err(UsageError(sentence.to_owned()).into());
            }
        };
        let session = self.connection.open("prune", Access::Write).await?;
        let before = TimeArg::Ago(age).resolve(&session).await?;
        let (mut pruned, mut above, mut skipped) = (0, 0, Vec::new());
        loop {
            let page = queries::prune(&session, above, PAGE_ROWS, before, self.dry_run).await;
            let page = page.map_err(|error| match pruned {
                0 => error,
                pruned => anyhow!("{error:#}; {pruned} events were pruned before"),
            })?;
            pruned += page.count;
            skipped.extend(page.skipped);
            match page.highest {
                Some(highest) if page.rows == PAGE_ROWS => above = highest,
                _ => break,
            }
        }
        let not_pruned = skipped::find_locked(&session, &skipped).await?;
        let outcome = if not_pruned.is_empty() { Outcome::Ok } else { Outcome::Problems };
        if self.json {
            output::json(&PruneReport { pruned, dry_run: self.dry_run, not_pruned })?;
        } else {
            let plural = if pruned == 1 { "event" } else { "events" };
            let done = if self.dry_run { "would be pruned" } else { "pruned" };
            output::text(&format!("{pruned} {plural} {done}.\n"))?;
            skipped::print(&not_pruned, "pruned", "");
        }
        Ok(outcome)
    }
}

//! `prune`: deletes what was published long enough ago.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;

use super::moment::Moment;
use super::session::Purpose;
use super::target::Target;
use super::untouched::{self, Untouched};
use super::{End, Misuse, print, queries};
use crate::config::{Retention, RetentionArgs};

/// Rows that a statement looks at, so that none holds the relays up.
const ROWS: i64 = 2000;

/// Arguments of `prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Delete what was published longer ago than this; without it, than OUTBOX_RETENTION
    #[arg(long, value_name = "DURATION")]
    older_than: Option<Retention>,
    /// Only say how many events it would be
    #[arg(long)]
    dry_run: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    retention: RetentionArgs,
    #[command(flatten)]
    target: Target,
}

#[derive(Serialize)]
struct Document {
    pruned: i64,
    dry_run: bool,
    not_pruned: Vec<Untouched>,
}

impl PruneArgs {
    pub(super) async fn run(self) -> anyhow::Result<End> {
        let span = match self.older_than.unwrap_or(self.retention.outbox_retention) {
            Retention::For(span) => span,
            Retention::None => Duration::ZERO,
            Retention::Unlimited => {
                let sentence =
                    "OUTBOX_RETENTION is off, so that nothing grows too old: say --older-than";
                return Err(Misuse(sentence.to_owned()).into());
            }
        };
        let session = self.target.open("prune", Purpose::Change).await?;
        let before = Moment::Ago(span).resolve(&session).await?;
        let (mut pruned, mut above, mut left_out) = (0, 0, Vec::new());
        loop {
            let page = queries::prune(&session, above, ROWS, before, self.dry_run).await;
            let page = page.map_err(|error| match pruned {
                0 => error,
                pruned => anyhow!("{error:#}; {pruned} events were pruned before"),
            })?;
            pruned += page.old;
            left_out.extend(page.left_out);
            match page.highest {
                Some(highest) if page.looked_at == ROWS => above = highest,
                _ => break,
            }
        }
        let not_pruned = untouched::locked(&session, &left_out).await?;
        let end = if not_pruned.is_empty() { End::Well } else { End::Findings };
        if self.json {
            print::document(&Document { pruned, dry_run: self.dry_run, not_pruned })?;
        } else {
            let plural = if pruned == 1 { "event" } else { "events" };
            let done = if self.dry_run { "would be pruned" } else { "pruned" };
            print::text(&format!("{pruned} {plural} {done}.\n"))?;
            untouched::tell(&not_pruned, "pruned", "");
        }
        Ok(end)
    }
}

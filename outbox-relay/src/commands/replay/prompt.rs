//! Asks for consent before many events are published.

use std::io::{IsTerminal as _, stdin};

use anyhow::Context as _;
use tokio::task::spawn_blocking;

use super::selection::ReplaySelection;
use crate::commands::outcome::UsageError;
use crate::commands::output;
use crate::database::OutboxTable;

/// Fails if standard input is no terminal: a script must not depend on how many events match.
pub(super) fn require_terminal() -> Result<(), UsageError> {
    if stdin().is_terminal() {
        return Ok(());
    }
    Err(UsageError(
        "replay asks before it publishes what a filter matches, but standard input is no terminal: use --yes to publish, or --dry-run to count"
            .to_owned(),
    ))
}

/// Asks whether to publish the selection, and returns the answer.
pub(super) async fn ask(table: &OutboxTable, selection: &ReplaySelection) -> anyhow::Result<bool> {
    output::prompt(&format!("Publish {} events of {table} again? [y/N] ", selection.count));
    let answer = spawn_blocking(|| {
        let mut line = String::new();
        stdin().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await?.context("no answer can be read")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

//! Asks before much is published.

use std::io::{IsTerminal as _, stdin};

use anyhow::Context as _;
use tokio::task::spawn_blocking;

use super::extent::Extent;
use crate::commands::session::Session;
use crate::commands::{Misuse, print};

/// Fails where nobody can be asked. A script must not depend on how many events there happen to be.
pub(super) fn can_ask() -> Result<(), Misuse> {
    if stdin().is_terminal() {
        return Ok(());
    }
    Err(Misuse(
        "replay asks before it publishes what a filter matches, and nobody can answer here: say --yes, or --dry-run to count"
            .to_owned(),
    ))
}

/// Whether the person wants it.
pub(super) async fn ask(session: &Session, extent: &Extent) -> anyhow::Result<bool> {
    let (count, table) = (extent.count, session.table());
    print::question(&format!("Publish {count} events of {table} again? [y/N] "));
    let answer = spawn_blocking(|| {
        let mut line = String::new();
        stdin().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await?.context("no answer can be read")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

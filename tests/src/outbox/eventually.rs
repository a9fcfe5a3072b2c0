//! Waits for a condition.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::PATIENCE;

/// Waits until `condition` holds. Its errors count as "not yet".
///
/// # Errors
/// When it does not hold in time.
pub async fn eventually(
    what: &str,
    mut condition: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let last = condition().await;
        if matches!(last, Ok(true)) {
            return Ok(());
        }
        if Instant::now() >= end {
            last.with_context(|| format!("waiting until {what}"))?;
            bail!("it never came true that {what}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

//! Waiting for what will be there.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::pipeline::PATIENCE;

/// Asks `probe` until it gives something.
///
/// # Errors
/// When the time is up, and when the probe fails.
pub async fn until<T>(probe: impl AsyncFn() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "it does not happen within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

//! Waits until something is there.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::pipeline::PATIENCE;

/// Calls `probe` until it returns something.
///
/// # Errors
/// When the time is up, and when the probe fails.
pub async fn until<T>(probe: impl AsyncFn() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    until_within(PATIENCE, probe).await
}

/// The same with another timeout.
///
/// # Errors
/// When the time is up, and when the probe fails.
pub async fn until_within<T>(
    timeout: Duration,
    probe: impl AsyncFn() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "it does not happen within {timeout:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

//! Stopping a command that publishes, or changes many rows.

use tokio_util::sync::CancellationToken;

/// Returns a token that SIGINT and SIGTERM cancel. The window or the batch at hand is ended first, so
/// that the command can say what was done.
pub(super) fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cancelled = stop.clone();
    // The task ends with the process.
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
        cancelled.cancel();
    });
    Ok(stop)
}

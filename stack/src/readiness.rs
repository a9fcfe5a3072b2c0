//! Waits until a process answers, and reports why if it does not.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::process::Process;

/// The timeout of one probe.
const PROBE: Duration = Duration::from_secs(5);

/// Calls `probe` until it returns true. Fails at once if the process ends, with the last lines of
/// its log.
///
/// # Errors
/// When the process ended, or the time is up.
pub async fn wait_until_ready(
    name: &str,
    process: &Process,
    log: &Path,
    timeout: Duration,
    probe: impl AsyncFn() -> bool,
) -> anyhow::Result<()> {
    let end = Instant::now() + timeout;
    loop {
        if !process.is_alive() {
            let how = process.exit_status().map(|status| format!(" ({status})"));
            let how = how.unwrap_or_default();
            bail!("{name} ended while it started{how}; {}", last_lines_of(log));
        }
        // Another process on the port might accept the connection and never answer.
        if tokio::time::timeout(PROBE, probe()).await.unwrap_or(false) {
            return Ok(());
        }
        if Instant::now() >= end {
            let seconds = timeout.as_secs();
            bail!("{name} was not ready within {seconds} s; {}", last_lines_of(log));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// "the last lines of PATH:" and those lines, for an error message.
#[must_use]
pub(crate) fn last_lines_of(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return format!("its log {} is empty", log.display());
    }
    let last = lines[lines.len().saturating_sub(15)..].join("\n  ");
    format!("the last lines of {}:\n  {last}", log.display())
}

/// Whether the server's log says that its port was taken, in the words of the system, of Erlang or
/// of RabbitMQ.
pub(crate) fn says_address_in_use(log: &Path) -> bool {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
    ["address already in use", "eaddrinuse", "dist_port_already_used"]
        .iter()
        .any(|in_use| text.contains(in_use))
}

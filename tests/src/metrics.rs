//! A process's `/metrics`. The process must be separate, as metrics are global in a process.

use anyhow::Context as _;
use stack::Service;

use crate::outbox::eventually;
use crate::pipeline::address;

/// The whole response.
///
/// # Errors
/// When its operations port does not answer.
pub async fn metrics(service: &Service) -> anyhow::Result<String> {
    let url = format!("{}/metrics", address(service, "operations port is open").await?);
    Ok(stack::http_client()?.get(url).send().await?.text().await?)
}

/// Waits until it contains all of `lines`.
///
/// # Errors
/// When that takes too long, with what it shows then.
pub async fn shows(service: &Service, lines: &[&str]) -> anyhow::Result<()> {
    let mut shown = String::new();
    eventually("it shows these lines", async || {
        shown = metrics(service).await?;
        Ok(lines.iter().all(|line| shown.lines().any(|given| given == *line)))
    })
    .await
    .with_context(|| format!("{lines:?} are not all in\n{shown}"))
}

/// Waits until a relay has looked for new events this many times more.
///
/// # Errors
/// When that takes too long.
pub async fn until_polled(relay: &Service, times: u64) -> anyhow::Result<()> {
    let polls = async || -> anyhow::Result<u64> {
        let name = "database_transaction_duration_seconds_count{transaction=\"scan_new\"} ";
        let shown = metrics(relay).await?;
        let count = shown.lines().find_map(|line| line.strip_prefix(name));
        Ok(count.context("it has not polled")?.parse()?)
    };
    let before = polls().await?;
    eventually("it polls again", async || Ok(polls().await? >= before + times)).await
}

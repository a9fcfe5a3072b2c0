//! Asks a service's operations port whether it is ready.

use serde_json::Value;

/// The response of `/readyz`.
pub(crate) enum Health {
    Ready,
    /// It answers, and names what is missing.
    NotReady(String),
    NoAnswer,
}

pub(crate) async fn health(http: &reqwest::Client, ops: &str) -> Health {
    let Ok(answer) = http.get(format!("{ops}/readyz")).send().await else {
        return Health::NoAnswer;
    };
    if answer.status().is_success() {
        return Health::Ready;
    }
    let body = answer.text().await.unwrap_or_default();
    Health::NotReady(what_is_missing(&body).unwrap_or(body))
}

/// "rabbitmq (Connection refused)", from the response's dependencies.
fn what_is_missing(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    let dependencies = body["dependencies"].as_object()?.iter();
    let missing: Vec<String> = dependencies
        .filter(|(_, dependency)| dependency["up"] == false)
        .map(|(name, dependency)| match dependency["reason"].as_str() {
            Some(reason) => format!("{name} ({reason})"),
            None => name.clone(),
        })
        .collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

/// Waits until it is ready.
pub(crate) async fn wait_until_healthy(
    name: &str,
    process: &stack::Process,
    log: &std::path::Path,
    ops: &str,
) -> anyhow::Result<()> {
    let http = stack::http_client()?;
    let answers = async || matches!(health(&http, ops).await, Health::Ready);
    let timeout = std::time::Duration::from_secs(90);
    stack::wait_until_ready(name, process, log, timeout, answers).await
}

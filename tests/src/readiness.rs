//! A process's `/readyz`.

use serde_json::Value;
use stack::Service;

use crate::pipeline::address;

/// The whole response.
///
/// # Errors
/// When its operations port does not answer.
pub async fn readiness(service: &Service) -> anyhow::Result<Value> {
    let url = format!("{}/readyz", address(service, "operations port is open").await?);
    Ok(stack::http_client()?.get(url).send().await?.json().await?)
}

/// Whether it is ready, and the reason why PostgreSQL is down, if known.
///
/// # Errors
/// When its operations port does not answer.
pub async fn of_postgresql(service: &Service) -> anyhow::Result<(bool, String)> {
    let told = readiness(service).await?;
    let reason = told["dependencies"]["postgresql"]["reason"].as_str().unwrap_or_default();
    Ok((told["ready"] == true, reason.to_owned()))
}

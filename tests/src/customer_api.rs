//! A customer service's API in the test's process, on free ports.

use anyhow::{Context as _, bail};
use customer_service::api;
use customer_service::config::{Cli, Command};
use reqwest::Response;
use serde_json::{Value, json};
use service_kit::config::try_parse_from;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::consumer_fixture::until;

/// A running API. Dropping it stops it.
#[derive(Debug)]
pub struct CustomerApi {
    /// `http://127.0.0.1:port` of the API.
    pub url: String,
    /// `http://127.0.0.1:port` of the operations port.
    pub ops_url: String,
    /// The HTTP client.
    pub http: reqwest::Client,
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl CustomerApi {
    /// Starts one on the database at `url` and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start(url: &str, settings: &[&str]) -> anyhow::Result<Self> {
        let api = Self::launch(url, settings).await?;
        api.ready().await?;
        Ok(api)
    }

    /// Starts one on the database at `url`, without waiting.
    ///
    /// # Errors
    /// When the settings are wrong.
    pub async fn launch(url: &str, settings: &[&str]) -> anyhow::Result<Self> {
        let args = ["customer-service", "api", "--database-url", url];
        let cli: Cli = match try_parse_from([&args, settings].concat()) {
            Ok(cli) => cli,
            Err(refusal) => bail!("{refusal:?}"),
        };
        let Command::Api(config) = cli.command else { bail!("not the API") };
        service_kit::telemetry::init(&config.process.log);
        let (listener, ops) =
            (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let url = format!("http://{}", listener.local_addr()?);
        let ops_url = format!("http://{}", ops.local_addr()?);
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(api::run(*config, listener, ops, shutdown.clone()));
        Ok(Self { url, ops_url, http: stack::http_client()?, shutdown, running })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let url = format!("{}/readyz", self.ops_url);
        until(async || {
            let answer = self.http.get(&url).send().await;
            Ok(answer.is_ok_and(|answer| answer.status().is_success()).then_some(()))
        })
        .await
        .context("the customer service is ready")
    }

    /// `GET path`.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Response> {
        Ok(self.http.get(format!("{}{path}", self.url)).send().await?)
    }

    /// `POST /api/customers`.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, body: &Value) -> anyhow::Result<Response> {
        Ok(self.http.post(format!("{}/api/customers", self.url)).json(body).send().await?)
    }

    /// Creates a customer and returns the response's body.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create(&self, name: &str) -> anyhow::Result<Value> {
        let answer = self.post(&customer(name, "Cra 7 #12-34, Bogotá")).await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Stops it and waits until it has ended.
    ///
    /// # Errors
    /// Returns the error with which it ended.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        (&mut self.running).await?
    }
}

impl Drop for CustomerApi {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.running.abort();
    }
}

/// The request body for a customer.
#[must_use]
pub fn customer(name: &str, address: &str) -> Value {
    json!({"customer": {"name": name, "address": address}})
}

//! A consumer in the test's process, on a free operations port.

use anyhow::{Context as _, bail};
use customer_service::config::{Cli, Command};
use customer_service::consumer::{self, ConsumerCommand};
use serde_json::Value;
use service_kit::config::try_parse_from;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::consumer_fixture::until;
use crate::pipeline::PATIENCE;

/// A consumer running in this process.
#[derive(Debug)]
pub struct Consumer {
    /// Its operations port.
    pub ops_url: String,
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Consumer {
    /// Starts one on free ports, without waiting. `settings` are flags and their values.
    ///
    /// # Errors
    /// When the settings are wrong.
    pub async fn launch(database: &str, broker: &str, settings: &[&str]) -> anyhow::Result<Self> {
        let args = ["customer-service", "consumer"];
        let addresses = ["--database-url", database, "--rabbitmq-url", broker];
        let cli: Cli = match try_parse_from([&args[..], &addresses, settings].concat()) {
            Ok(cli) => cli,
            Err(refusal) => bail!("{refusal:?}"),
        };
        let Command::Consumer(ConsumerCommand::Consume(config)) = cli.command else {
            bail!("not the consumer")
        };
        service_kit::telemetry::init(&config.process.log);
        let ops = TcpListener::bind("127.0.0.1:0").await?;
        let ops_url = format!("http://{}", ops.local_addr()?);
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(consumer::run(*config, ops, shutdown.clone()));
        Ok(Self { ops_url, shutdown, running })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn ready(&self) -> anyhow::Result<()> {
        until(async || Ok(self.readiness().await?["ready"].as_bool().filter(|ready| *ready)))
            .await
            .context("the consumer is ready")?;
        Ok(())
    }

    /// The response of `/readyz`.
    ///
    /// # Errors
    /// When the port does not answer.
    pub async fn readiness(&self) -> anyhow::Result<Value> {
        let url = format!("{}/readyz", self.ops_url);
        Ok(stack::http_client()?.get(url).send().await?.json().await?)
    }

    /// Waits until a dependency is down, and returns the reason.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub async fn down(&self, dependency: &str) -> anyhow::Result<String> {
        until(async || {
            let status = self.readiness().await?["dependencies"][dependency].clone();
            let down = status["up"] == false;
            Ok(down.then(|| status["reason"].as_str().unwrap_or_default().to_owned()))
        })
        .await
        .with_context(|| format!("{dependency} is down"))
    }

    /// Stops it gracefully.
    ///
    /// # Errors
    /// When it fails.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.running).await??
    }
}

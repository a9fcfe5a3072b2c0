//! The consumer's program, configured by environment variables.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value};
use stack::Service;

/// The timeout for starting, for stopping, and without any progress.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// A `value_parser` for NAME=VALUE.
pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The program and its settings.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerProgram {
    path: PathBuf,
    settings: Vec<(String, String)>,
}

impl ConsumerProgram {
    /// The program at `path`, or else the checkout's, which is built.
    pub(crate) fn new(
        path: Option<PathBuf>,
        settings: Vec<(String, String)>,
    ) -> anyhow::Result<Self> {
        let path = match path {
            Some(path) => path,
            None => stack::build(&["customer-service"], &["--release".to_owned()])?
                .remove("customer-service")
                .context("cargo built no customer-service")?,
        };
        Ok(Self { path, settings })
    }

    /// The settings as JSON, for the result.
    pub(crate) fn settings(&self) -> Value {
        let settings = self.settings.iter();
        settings
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect::<Map<_, _>>()
            .into()
    }

    /// Brings the schema of a database up to date.
    pub(super) async fn migrate(&self, url: &str) -> anyhow::Result<()> {
        let migrate = Service::spawn(&self.path, ["migrate"], [("DATABASE_URL", url)]).await?;
        let status = migrate.wait_exit(TIMEOUT).await?;
        ensure!(status.success(), "migrate ended with {status}; {}", migrate.last_lines());
        Ok(())
    }

    /// Starts a consumer with these URLs of its database and its virtual host.
    pub(super) async fn start(
        &self,
        database_url: &str,
        amqp_url: &str,
    ) -> anyhow::Result<Service> {
        let own = [
            ("DATABASE_URL", database_url),
            ("RABBITMQ_URL", amqp_url),
            ("OPS_ADDR", "127.0.0.1:0"),
        ];
        let settings = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Service::spawn(&self.path, ["consumer"], own.into_iter().chain(settings)).await
    }
}

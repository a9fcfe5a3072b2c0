//! The relay: the release program as a process, configured by environment variables.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::{Map, Value};
use stack::Service;

use super::outbox::Outbox;
use super::queue::Queue;

/// The timeout for the relay to stop.
const STOPPED: Duration = Duration::from_secs(60);

/// Settings that are passed on to the relay; those that are not given it chooses itself.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Relay")]
pub(crate) struct RelayArgs {
    /// RELAY_WINDOW: messages that are sent before their confirms are awaited
    #[arg(long, value_name = "N")]
    pub(crate) window: Option<usize>,
    /// RELAY_CHANNELS: windows in flight
    #[arg(long, value_name = "N")]
    pub(crate) channels: Option<usize>,
    /// Any other setting of the relay, as often as you like
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// The program to measure instead of the checkout's, say that of an older version
    #[arg(long, value_name = "PATH")]
    relay: Option<PathBuf>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl RelayArgs {
    /// The program with these settings; the checkout's is built.
    pub(crate) fn program(&self) -> anyhow::Result<RelayProgram> {
        let path = match &self.relay {
            Some(path) => path.clone(),
            None => stack::build(&["outbox-relay"], &["--release".to_owned()])?
                .remove("outbox-relay")
                .context("cargo built no outbox-relay")?,
        };
        let mut settings = self.settings.clone();
        for (name, value) in [("RELAY_WINDOW", self.window), ("RELAY_CHANNELS", self.channels)] {
            settings.extend(value.map(|value| (name.to_owned(), value.to_string())));
        }
        Ok(RelayProgram { path, settings })
    }
}

/// The program and its settings.
#[derive(Debug, Clone)]
pub(crate) struct RelayProgram {
    path: PathBuf,
    settings: Vec<(String, String)>,
}

impl RelayProgram {
    /// The program at `path` with default settings.
    pub(crate) const fn at(path: PathBuf) -> Self {
        Self { path, settings: Vec::new() }
    }

    /// The program.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a setting.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut with = self.clone();
        with.settings.push((name.to_owned(), value.to_owned()));
        with
    }

    /// The settings as JSON, for the result.
    pub(crate) fn settings(&self) -> Value {
        let settings = self.settings.iter();
        settings
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect::<Map<_, _>>()
            .into()
    }

    /// Starts it for an outbox and a queue.
    pub(crate) async fn start(&self, outbox: &Outbox, queue: &Queue) -> anyhow::Result<Relay> {
        let own = [
            ("DATABASE_URL", outbox.relay_url.as_str()),
            ("RABBITMQ_URL", &queue.url),
            ("OPS_ADDR", "127.0.0.1:0"),
        ];
        let settings = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let service = Service::spawn(&self.path, ["run"], own.into_iter().chain(settings)).await?;
        Ok(Relay { service })
    }
}

/// A running relay. Killed on drop.
#[derive(Debug)]
pub(crate) struct Relay {
    service: Service,
}

impl Relay {
    pub(crate) fn pid(&self) -> u32 {
        self.service.pid()
    }

    /// Fails, with the last lines of its log, if it has ended.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.service.is_running(), "the relay has ended; {}", self.service.last_lines());
        Ok(())
    }

    /// The last lines of its log, for an error message.
    pub(crate) fn last_lines(&self) -> String {
        self.service.last_lines()
    }

    /// Stops it and waits until it has ended.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.service.sigterm()?;
        let status = self.service.wait_exit(STOPPED).await?;
        ensure!(status.success(), "the relay ended with {status}; {}", self.service.last_lines());
        Ok(())
    }
}

//! The state of the stack in `.stack/`, for the other commands and for scripts.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use stack::{PostgresServer, ProcessId, RabbitServer};

use crate::plan::{Addresses, Command};
use crate::process_name::Name;

/// A running stack.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) port_base: Option<u16>,
    pub(crate) release: bool,
    /// Whether dead letters are collected.
    #[serde(default)]
    pub(crate) desk: bool,
    /// Whether PostgreSQL and RabbitMQ are the stack's own, to be stopped by `down`.
    pub(crate) own_postgres: bool,
    pub(crate) own_rabbitmq: bool,
    pub(crate) bin_dir: PathBuf,
    /// The services' settings from the environment of `up`.
    pub(crate) settings: Vec<(String, String)>,
    /// Known once the servers run.
    pub(crate) addresses: Option<Addresses>,
    /// In start order.
    pub(crate) services: Vec<Service>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Service {
    pub(crate) name: Name,
    pub(crate) command: Command,
    pub(crate) process: Option<ProcessId>,
}

impl Service {
    /// Its process, if it is alive.
    pub(crate) fn alive(&self) -> Option<&ProcessId> {
        self.process.as_ref().filter(|process| process.is_alive())
    }
}

impl State {
    pub(crate) fn load() -> anyhow::Result<Option<Self>> {
        let path = file()?;
        match std::fs::read(&path) {
            Ok(json) => {
                let state = serde_json::from_slice(&json);
                let state = state.with_context(|| {
                    format!("{} can't be understood; `cargo xtask down` clears it", relative(&path))
                })?;
                Ok(Some(state))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// The running stack, or an error that says how to start one.
    pub(crate) fn of_running_stack() -> anyhow::Result<Self> {
        Self::load()?.context("the stack is not up; `cargo xtask up` starts it")
    }

    pub(crate) fn save(&self) -> anyhow::Result<()> {
        stack::write_private(&file()?, &serde_json::to_string_pretty(self)?)
    }

    pub(crate) fn remove() -> anyhow::Result<()> {
        for leftover in [file()?, env_file()?, inboxes_file()?, customer_database_url_file()?] {
            std::fs::remove_file(leftover).ok();
        }
        for leftover in [folder()?.join("pids"), started_dir()?] {
            std::fs::remove_dir_all(leftover).ok();
        }
        Ok(())
    }

    pub(crate) fn service_mut(&mut self, name: Name) -> anyhow::Result<&mut Service> {
        let service = self.services.iter_mut().find(|service| service.name == name);
        service.with_context(|| format!("{} was never started", name.text()))
    }
}

/// The stack's folder, `.stack` by default.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    stack::stack_dir()
}

fn file() -> anyhow::Result<PathBuf> {
    Ok(folder()?.join("state.json"))
}

/// The lock held while a command starts or stops processes.
pub(crate) fn lock() -> anyhow::Result<File> {
    let file = File::create(folder()?.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            bail!("another `cargo xtask` command is starting or stopping the stack; wait for it")
        }
        Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

/// How long ago the stack was started, or a part of it.
pub(crate) fn age() -> anyhow::Result<Duration> {
    // A clock that was set back makes it new.
    Ok(std::fs::metadata(file()?)?.modified()?.elapsed().unwrap_or_default())
}

pub(crate) fn log(name: Name) -> anyhow::Result<PathBuf> {
    let dir = folder()?.join("logs");
    std::fs::create_dir_all(&dir)?;
    Ok(dir.join(format!("{}.log", name.text())))
}

/// Writes `.stack/pids/NAME`, for `kill -9 $(cat .stack/pids/rabbitmq)`, and the pid with its start
/// time, from which `down` can identify the process without the state.
pub(crate) fn write_pid(name: Name, process: &ProcessId) -> anyhow::Result<()> {
    let dir = folder()?.join("pids");
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join(name.text()), format!("{}\n", process.pid))?;
    let dir = started_dir()?;
    std::fs::create_dir_all(&dir)?;
    stack::write_private(&dir.join(name.text()), &serde_json::to_string(process)?)
}

/// The process that was last started under this name, if it is alive.
pub(crate) fn started(name: Name) -> anyhow::Result<Option<ProcessId>> {
    let json = std::fs::read(started_dir()?.join(name.text())).ok();
    let process: Option<ProcessId> = json.and_then(|json| serde_json::from_slice(&json).ok());
    Ok(process.filter(ProcessId::is_alive))
}

fn started_dir() -> anyhow::Result<PathBuf> {
    Ok(folder()?.join("started"))
}

/// The stack's own PostgreSQL, running or not.
pub(crate) fn own_postgres() -> anyhow::Result<PostgresServer> {
    PostgresServer::in_folder(&stack::postgres_dir()?, &log(Name::Postgres)?, Some(5432))
}

/// The stack's own RabbitMQ, running or not.
pub(crate) fn own_rabbitmq() -> anyhow::Result<RabbitServer> {
    let dir = folder()?.join("rabbitmq");
    RabbitServer::in_folder(&dir, &log(Name::Rabbitmq)?, stack::Ports::usual()?)
}

/// The consumer's inbox, for `outbox-relay where` and `reconcile`, and for the console: its longest
/// retry is that of the settings by default, and a little more.
const INBOXES: &str = r##"[[inbox]]
name = "customer-service"
url_file = "customer_database_url"
table = "processed_events"
key = "event_id"
types = ["order.created"]
queue = "customer.orders_count"
dead_letter_queue = "customer.orders_count.dlq"
longest_retry = "5m"
"##;

/// Writes the file that names the consumer's inbox, which the console reads at its start.
pub(crate) fn write_inboxes(at: &Addresses) -> anyhow::Result<()> {
    stack::write_private(&customer_database_url_file()?, &at.customer_database)?;
    stack::write_private(&inboxes_file()?, INBOXES)
}

/// Writes `.stack/env`, to be sourced in a shell.
pub(crate) fn write_env(at: &Addresses) -> anyhow::Result<()> {
    let inboxes = inboxes_file()?.display().to_string();
    let urls = [&at.order_database, &at.logins.outbox_relay, &at.customer_database, &at.rabbitmq];
    let own = urls.map(String::as_str).join(" ");
    let lines = [
        ("ORDER_SERVICE_URL", at.order_service.as_str()),
        ("CUSTOMER_SERVICE_URL", &at.customer_service),
        ("ORDER_DATABASE_URL", &at.order_database),
        ("RELAY_DATABASE_URL", &at.logins.outbox_relay),
        ("CUSTOMER_DATABASE_URL", &at.customer_database),
        ("RABBITMQ_URL", &at.rabbitmq),
        ("OUTBOX_INBOXES", &inboxes),
        ("RABBITMQ_MANAGEMENT_URL", at.rabbitmq_management.as_deref().unwrap_or_default()),
        ("ORDER_SERVICE_OPS_URL", &at.order_service_ops),
        ("RELAY_OPS_URL", &at.relay_ops),
        ("CUSTOMER_SERVICE_OPS_URL", &at.customer_service_ops),
        ("CUSTOMER_CONSUMER_OPS_URL", &at.customer_consumer_ops),
        ("DESK_OPS_URL", at.desk_ops.as_deref().unwrap_or_default()),
        ("CONSOLE_URL", &at.console),
        ("CONSOLE_OPS_URL", &at.console_ops),
        // By this, `up` from such a shell recognizes these servers as its own.
        (SOURCED, &own),
    ];
    let quoted = |value: &str| format!("'{}'", value.replace('\'', r"'\''"));
    let text: String =
        lines.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect();
    stack::write_private(&env_file()?, &text)
}

pub(crate) fn env_file() -> anyhow::Result<PathBuf> {
    Ok(folder()?.join("env"))
}

pub(crate) fn inboxes_file() -> anyhow::Result<PathBuf> {
    Ok(folder()?.join("inboxes.toml"))
}

/// Its name stands in [`INBOXES`].
fn customer_database_url_file() -> anyhow::Result<PathBuf> {
    Ok(folder()?.join("customer_database_url"))
}

const SOURCED: &str = "LOCAL_STACK_SERVERS";

/// A server's URL from the environment, unless it was set by sourcing `.stack/env`.
pub(crate) fn given(name: &str) -> Option<String> {
    let url = std::env::var(name).ok().filter(|url| !url.is_empty())?;
    let sourced = std::env::var(SOURCED).unwrap_or_default();
    (!sourced.split(' ').any(|own| own == url)).then_some(url)
}

/// The path relative to the checkout, for display.
pub(crate) fn relative(path: &Path) -> String {
    path.strip_prefix(stack::root()).unwrap_or(path).display().to_string()
}

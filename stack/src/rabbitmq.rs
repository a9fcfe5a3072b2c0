//! A private RabbitMQ node: its own data, cookie, port mapper and ports, all on 127.0.0.1. See
//! <https://www.rabbitmq.com/docs/configure#supported-environment-variables>.
//!
//! | file | what it is about |
//! |---|---|
//! | `temporary` | a node of one test's own |
//! | `cluster` | three nodes that are one broker |
//! | `settings` | what is kept of a node between its starts |
//! | `epmd` | Erlang's port mapper |
//! | `configuration`, `command` | the files and the environment that a node starts with |

mod cluster;
mod command;
mod configuration;
mod epmd;
mod settings;
mod temporary;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::checkout::open_folder;
use crate::management::Management;
use crate::ports::Ports;
use crate::process::{Process, ProcessId};
use crate::readiness::wait_until_ready;
use crate::tempdir::TempDir;
use crate::tls::ServerTls;
use crate::vhost::{RabbitAccess, Vhost};
use crate::{locate, version};
use settings::Settings;

pub use cluster::RabbitCluster;

const READY: Duration = Duration::from_secs(120);
/// What a node logs once it has booted.
const BOOTED: &[u8] = b"Server startup complete";
const STOPPED: Duration = Duration::from_secs(60);

/// A private RabbitMQ node with the management plugin and its own Erlang port mapper.
///
/// Ports, name and data survive [`stop_gracefully`](Self::stop_gracefully), [`kill`](Self::kill)
/// and another [`start`](Self::start). A temporary node is stopped and removed on drop; any other
/// keeps running.
#[derive(Debug)]
pub struct RabbitServer {
    dir: PathBuf,
    log: PathBuf,
    settings: Settings,
    running: Option<Process>,
    epmd: Option<Process>,
    temporary: bool,
    tls: Option<(u16, ServerTls)>,
    /// The nodes of its cluster, including itself; empty for a single node.
    peers: Vec<String>,
}

impl RabbitServer {
    /// The node whose data are in `dir`, running or not; a new one if there is none. It keeps its
    /// ports if they are still free; otherwise it gets the given ones.
    ///
    /// # Errors
    /// When the folder can't be used.
    pub fn in_folder(dir: &Path, log: &Path, ports: Ports) -> anyhow::Result<Self> {
        open_folder(dir)?;
        let mut settings = Settings::of(dir);
        let running = settings.process.clone().filter(ProcessId::is_alive).map(Process::adopt);
        let epmd = settings.epmd_process.clone().filter(ProcessId::is_alive).map(Process::adopt);
        if running.is_none() {
            settings.choose_ports(ports, epmd.is_none());
        }
        let (dir, log) = (dir.to_owned(), log.to_owned());
        let (temporary, tls, peers) = (false, None, Vec::new());
        Ok(Self { dir, log, settings, running, epmd, temporary, tls, peers })
    }

    /// The node's name, as in `rabbit@host`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.node
    }

    /// Where it listens, and its administrator.
    #[must_use]
    pub fn access(&self) -> &RabbitAccess {
        &self.settings.access
    }

    /// The port for AMQP over TLS, if enabled.
    #[must_use]
    pub fn tls_port(&self) -> Option<u16> {
        self.tls.as_ref().map(|(port, _)| *port)
    }

    /// A new virtual host with a unique name that begins with `hint`.
    ///
    /// # Errors
    /// When the node does not run.
    pub async fn vhost(&self, hint: &str) -> anyhow::Result<Vhost> {
        self.settings.access.create_unique(hint).await
    }

    /// The broker's Erlang VM, while it runs.
    #[must_use]
    pub fn process(&self) -> Option<&ProcessId> {
        self.running.as_ref().filter(|running| running.is_alive()).map(|running| &running.id)
    }

    /// The node's log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Starts the node and waits until AMQP and the management API answer. Does nothing if it is
    /// running.
    ///
    /// # Errors
    /// When RabbitMQ is not installed or does not start; says why.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        if self.process().is_some() {
            return Ok(());
        }
        let program = locate::or_missing(locate::rabbitmq_server(), "RabbitMQ")?;
        version::check_rabbitmq(&program)?;
        self.write_configuration()?;
        self.start_epmd().await?;

        let mut server = self.command(&program);
        let logged_before = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        let running = self.running.insert(Process::spawn(&mut server, &self.log)?);
        self.settings.process = Some(running.id.clone());
        if self.temporary {
            TempDir::of_this_process().await?.register(&running.id, false)?;
        }
        self.settings.save(&self.dir)?;

        let access = self.settings.access.clone();
        let management = Management::new(&access.management_url())?;
        // Asks the node, not the port: another process may have taken the port first.
        let listens_on = async |port: u16| {
            let listens = format!("/api/health/checks/port-listener/{port}");
            matches!(management.get(&listens).await, Ok(Some(_)))
        };
        let answers = async || {
            let with_tls = match self.tls_port() {
                Some(port) => listens_on(port).await,
                None => true,
            };
            with_tls && listens_on(access.amqp_port).await && self.has_booted(logged_before)
        };
        let running = self.running.as_ref().context("RabbitMQ was just started")?;
        wait_until_ready("RabbitMQ", running, &self.log, READY, answers).await?;
        let overview = management.get("/api/overview").await?;
        version::check_running_rabbitmq(&overview.unwrap_or_default())
    }

    /// Whether the node's log says so, after its first `logged_before` bytes.
    ///
    /// A node listens a moment before it has booted. What another node of its cluster creates in
    /// that moment waits in vain for this one: a virtual host is never started here, and its
    /// creator waits 45 seconds (`rabbit_vhost_sup_sup:start_on_all_nodes` and
    /// `rabbit_vhost:put_vhost` in RabbitMQ's source).
    fn has_booted(&self, logged_before: u64) -> bool {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let since = usize::try_from(logged_before).ok().and_then(|before| log.get(before..));
        let since = since.unwrap_or_default();
        since.windows(BOOTED.len()).any(|words| words == BOOTED)
    }

    /// Gives the running node the administrator `guest` with the password `guest`, whom people
    /// expect at the management page of a broker on their own machine. The node listens on
    /// 127.0.0.1 only.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn add_guest(&self) -> anyhow::Result<()> {
        let management = Management::new(&self.access().management_url())?;
        let guest = json!({ "password": "guest", "tags": "administrator" });
        management.put("/api/users/guest", &guest).await?;
        let everything = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        management.put("/api/permissions/%2f/guest", &everything).await
    }

    /// Shuts the node down, then its port mapper.
    ///
    /// # Errors
    /// When it can't be signalled.
    pub async fn stop_gracefully(&mut self) -> anyhow::Result<()> {
        self.stop(Signal::SIGTERM).await
    }

    /// Ends the node with SIGKILL, as a crash would, and its port mapper.
    ///
    /// # Errors
    /// When it can't be signalled.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.stop(Signal::SIGKILL).await
    }

    async fn stop(&mut self, signal: Signal) -> anyhow::Result<()> {
        if let Some(running) = self.running.take() {
            running.stop(signal, STOPPED).await?;
        }
        // After the node, which would otherwise start a port mapper of its own.
        if let Some(epmd) = self.epmd.take() {
            epmd.stop(Signal::SIGKILL, STOPPED).await?;
        }
        Ok(())
    }
}

//! A RabbitMQ node of our own: own data, cookie, port mapper and ports, all on 127.0.0.1.
//! See <https://www.rabbitmq.com/docs/configure#supported-environment-variables>.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::checkout::open_folder;
use crate::management::Management;
use crate::ports::Ports;
use crate::process::{Process, ProcessId};
use crate::readiness::{says_address_in_use, wait_until_ready};
use crate::scratch::{Scratch, end_and_remove};
use crate::secret::{password, write_private};
use crate::tls::ServerTls;
use crate::vhost::{RabbitAccess, Vhost};
use crate::{locate, ports, version};

const READY: Duration = Duration::from_secs(120);
const STOPPED: Duration = Duration::from_secs(60);

/// A private RabbitMQ node with the management plugin, and Erlang's port mapper for it alone.
///
/// It keeps ports, name and data through [`stop_gracefully`](Self::stop_gracefully),
/// [`kill`](Self::kill) and a new [`start`](Self::start). A temporary one is stopped and removed
/// on drop, any other goes on.
#[derive(Debug)]
pub struct RabbitServer {
    dir: PathBuf,
    log: PathBuf,
    settings: Settings,
    running: Option<Process>,
    epmd: Option<Process>,
    temporary: bool,
    tls: Option<(u16, ServerTls)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Settings {
    access: RabbitAccess,
    /// The data on disk belong to this name.
    node: String,
    epmd_port: u16,
    dist_port: u16,
    process: Option<ProcessId>,
    epmd_process: Option<ProcessId>,
}

impl RabbitServer {
    /// Starts a node for this test alone, for faults that would disturb others: 5 to 10 seconds.
    ///
    /// # Errors
    /// When RabbitMQ is not installed or does not start.
    pub async fn start_temporary() -> anyhow::Result<Self> {
        Self::new_temporary().await?.start_or_replace().await
    }

    /// The same with TLS on a port of its own, [`tls_port`](Self::tls_port).
    ///
    /// # Errors
    /// When RabbitMQ is not installed or does not start.
    pub async fn start_temporary_with_tls(tls: ServerTls) -> anyhow::Result<Self> {
        let mut server = Self::new_temporary().await?;
        server.tls = Some((ports::free_port()?, tls));
        server.start_or_replace().await
    }

    /// Another one in its place when someone took a port between our choosing it and the node's
    /// listening on it.
    async fn start_or_replace(mut self) -> anyhow::Result<Self> {
        match self.start().await {
            Err(_) if says_address_in_use(&self.log) => {
                let tls = self.tls.take().map(|(_, tls)| tls);
                self = Self::new_temporary().await?;
                self.tls = tls
                    .map(|tls| Ok::<_, anyhow::Error>((ports::free_port()?, tls)))
                    .transpose()?;
                self.start().await?;
            }
            result => result?,
        }
        Ok(self)
    }

    async fn new_temporary() -> anyhow::Result<Self> {
        let dir = Scratch::of_this_process().await?.folder("rabbitmq")?;
        let mut server = Self::in_folder(&dir, &dir.join("rabbitmq.log"), Ports::any()?)?;
        server.temporary = true;
        Ok(server)
    }

    /// The node whose data lie in `dir`, running or not; a new one when there is none yet. The
    /// ports are those it had if they are still free, else the ones given.
    ///
    /// # Errors
    /// When the folder can't be used.
    pub fn in_folder(dir: &Path, log: &Path, ports: Ports) -> anyhow::Result<Self> {
        open_folder(dir)?;
        let known = std::fs::read(dir.join("server.json")).ok();
        let known: Option<Settings> = known.and_then(|json| serde_json::from_slice(&json).ok());
        let mut settings = known.unwrap_or_else(|| Settings {
            access: RabbitAccess {
                amqp_port: 0,
                management_port: 0,
                user: "pipeline".to_owned(),
                password: password(),
            },
            node: format!("outbox-{:08x}@localhost", rand::random::<u32>()),
            epmd_port: 0,
            dist_port: 0,
            process: None,
            epmd_process: None,
        });

        let running = settings.process.clone().filter(ProcessId::is_alive).map(Process::adopt);
        let epmd = settings.epmd_process.clone().filter(ProcessId::is_alive).map(Process::adopt);
        let keep = |port: u16| port != 0 && ports::is_free(port);
        if running.is_none() {
            let access = &mut settings.access;
            for (port, new) in [
                (&mut access.amqp_port, ports.amqp),
                (&mut access.management_port, ports.management),
                (&mut settings.dist_port, ports.dist),
            ] {
                *port = if keep(*port) { *port } else { new };
            }
            if epmd.is_none() && !keep(settings.epmd_port) {
                settings.epmd_port = ports.epmd;
            }
        }
        let (dir, log) = (dir.to_owned(), log.to_owned());
        Ok(Self { dir, log, settings, running, epmd, temporary: false, tls: None })
    }

    /// Where it listens, and its administrator.
    #[must_use]
    pub fn access(&self) -> &RabbitAccess {
        &self.settings.access
    }

    /// The port for AMQP over TLS, when it speaks that.
    #[must_use]
    pub fn tls_port(&self) -> Option<u16> {
        self.tls.as_ref().map(|(port, _)| *port)
    }

    /// A new virtual host with a name of its own that begins with `hint`.
    ///
    /// # Errors
    /// When the node does not run.
    pub async fn vhost(&self, hint: &str) -> anyhow::Result<Vhost> {
        self.settings.access.create_unique(hint).await
    }

    /// The Erlang machine that is the broker, while it runs.
    #[must_use]
    pub fn process(&self) -> Option<&ProcessId> {
        self.running.as_ref().filter(|running| running.is_alive()).map(|running| &running.id)
    }

    /// The node's log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Starts it and waits until AMQP and the management API answer. A node that runs already is
    /// left as it is.
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
        let running = self.running.insert(Process::spawn(&mut server, &self.log)?);
        self.settings.process = Some(running.id.clone());
        if self.temporary {
            Scratch::of_this_process().await?.register(&running.id, false)?;
        }
        self.save()?;

        let access = self.settings.access.clone();
        let management = Management::new(&access.management_url())?;
        // Asked of the node, not of the port: there a stranger may answer who took it first.
        let listens_on = async |port: u16| {
            let listens = format!("/api/health/checks/port-listener/{port}");
            matches!(management.get(&listens).await, Ok(Some(_)))
        };
        let answers = async || {
            let with_tls = match self.tls_port() {
                Some(port) => listens_on(port).await,
                None => true,
            };
            with_tls && listens_on(access.amqp_port).await
        };
        let running = self.running.as_ref().context("RabbitMQ was just started")?;
        wait_until_ready("RabbitMQ", running, &self.log, READY, answers).await?;
        let overview = management.get("/api/overview").await?;
        version::check_running_rabbitmq(&overview.unwrap_or_default())
    }

    /// Stops the node in the orderly way, then its port mapper.
    ///
    /// # Errors
    /// When it can't be signalled.
    pub async fn stop_gracefully(&mut self) -> anyhow::Result<()> {
        self.stop(Signal::SIGTERM).await
    }

    /// Ends the node with SIGKILL, as a crash would; its port mapper goes as well.
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
        // After the node, which would start a port mapper that is nobody's.
        if let Some(epmd) = self.epmd.take() {
            epmd.stop(Signal::SIGKILL, STOPPED).await?;
        }
        Ok(())
    }

    /// Erlang's port mapper in the foreground: started by the node itself it would be a daemon
    /// that outlives everyone.
    async fn start_epmd(&mut self) -> anyhow::Result<()> {
        if self.epmd.as_ref().is_some_and(Process::is_alive) {
            return Ok(());
        }
        let program = locate::or_missing(locate::epmd(), "Erlang's epmd")?;
        let mut epmd = Command::new(program);
        epmd.args(["-port", &self.settings.epmd_port.to_string(), "-address", "127.0.0.1"])
            .env_clear()
            .current_dir(&self.dir);
        let running = Process::spawn(&mut epmd, &self.log)?;
        self.settings.epmd_process = Some(running.id.clone());
        if self.temporary {
            Scratch::of_this_process().await?.register(&running.id, false)?;
        }
        self.save()?;

        let port = self.settings.epmd_port;
        let answers = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        wait_until_ready("Erlang's epmd", &running, &self.log, STOPPED, answers).await?;
        self.epmd = Some(running);
        Ok(())
    }

    fn write_configuration(&self) -> anyhow::Result<()> {
        let RabbitAccess { amqp_port, management_port, user, password } = &self.settings.access;
        // The write-ahead log of quorum queues is kept in memory too: 512 MiB is a data centre's.
        let mut configuration = format!(
            "listeners.tcp.1 = 127.0.0.1:{amqp_port}\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management_port}\n\
             default_user = {user}\n\
             default_pass = {password}\n\
             log.console = true\n\
             log.file = false\n\
             raft.wal_max_size_bytes = 67108864\n"
        );
        if let Some((port, tls)) = &self.tls {
            configuration += &tls.for_rabbitmq(&self.dir, *port)?;
        }
        write_private(&self.dir.join("rabbitmq.conf"), &configuration)?;
        write_private(&self.dir.join("enabled_plugins"), "[rabbitmq_management].\n")?;
        let cookie = self.dir.join(".erlang.cookie");
        if !cookie.exists() {
            write_private(&cookie, &crate::secret::password())?;
            std::fs::set_permissions(&cookie, std::fs::Permissions::from_mode(0o400))?;
        }
        Ok(())
    }

    fn save(&self) -> anyhow::Result<()> {
        write_private(&self.dir.join("server.json"), &serde_json::to_string(&self.settings)?)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear();
        for name in ["PATH", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let in_dir = |name: &str| self.dir.join(name);
        command
            .current_dir(&self.dir)
            .env("HOME", &self.dir)
            .env("LC_ALL", "C.UTF-8")
            .env("RABBITMQ_NODENAME", &self.settings.node)
            .env("RABBITMQ_DIST_PORT", self.settings.dist_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", in_dir("data"))
            .env("RABBITMQ_LOG_BASE", in_dir("log"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", in_dir("generated"))
            .env("RABBITMQ_CONFIG_FILE", in_dir("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", in_dir("enabled_plugins"))
            // The system's own settings stay outside; these three need not exist.
            .env("RABBITMQ_CONF_ENV_FILE", in_dir("rabbitmq-env.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", in_dir("advanced.config"))
            .env("RABBITMQ_CONFIG_FILES", in_dir("conf.d"))
            .env("ERL_EPMD_PORT", self.settings.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            // Makes the script become the Erlang machine: our child's pid is the broker's.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} \
                 +sbwt none +sbwtdcpu none +sbwtdio none",
            );
        command
    }
}

impl Drop for RabbitServer {
    fn drop(&mut self) {
        if self.temporary {
            let processes = self.running.iter().chain(self.epmd.iter());
            let processes = processes.map(|running| (running.id.clone(), false));
            end_and_remove(&self.dir, &processes.collect::<Vec<_>>());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::RabbitServer;

    async fn starts_elsewhere_when_taken(
        port_of: impl Fn(&RabbitServer) -> u16,
    ) -> anyhow::Result<()> {
        let server = RabbitServer::new_temporary().await?;
        let port = port_of(&server);
        let _faster = TcpListener::bind(("127.0.0.1", port))?;
        let server = server.start_or_replace().await?;
        assert_ne!(port_of(&server), port);
        assert!(server.vhost("moved").await.is_ok());
        Ok(())
    }

    #[tokio::test]
    async fn an_amqp_port_that_was_taken_meanwhile_is_replaced_by_another() -> anyhow::Result<()> {
        starts_elsewhere_when_taken(|server| server.access().amqp_port).await
    }

    #[tokio::test]
    async fn a_port_between_nodes_that_was_taken_meanwhile_is_replaced() -> anyhow::Result<()> {
        starts_elsewhere_when_taken(|server| server.settings.dist_port).await
    }
}

//! A PostgreSQL server of our own: own data, own port on 127.0.0.1, everything else as shipped.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::checkout::{give_to_postgres, open_folder, postgres_user};
use crate::database::{Database, PostgresAccess};
use crate::process::{Process, ProcessId};
use crate::readiness::{says_address_in_use, wait_until_ready};
use crate::scratch::{Scratch, end_and_remove};
use crate::secret::{password, write_private};
use crate::tls::ServerTls;
use crate::{locate, ports, version};

const READY: Duration = Duration::from_secs(60);
const STOPPED: Duration = Duration::from_secs(60);

/// A private PostgreSQL server.
///
/// Durability settings (`fsync`, `synchronous_commit`, `full_page_writes`) have their defaults.
/// It keeps port, password and data through [`stop_gracefully`](Self::stop_gracefully),
/// [`stop_immediately`](Self::stop_immediately), [`kill`](Self::kill) and a new
/// [`start`](Self::start). A temporary one is stopped and removed on drop, any other goes on.
#[derive(Debug)]
pub struct PostgresServer {
    dir: PathBuf,
    log: PathBuf,
    pub(crate) settings: Settings,
    running: Option<Process>,
    temporary: bool,
    tls: Option<ServerTls>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) access: PostgresAccess,
    process: Option<ProcessId>,
}

impl PostgresServer {
    /// Starts a server for this test alone, for faults that would disturb others: 2 to 3 seconds.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start.
    pub async fn start_temporary() -> anyhow::Result<Self> {
        Self::new_temporary().await?.start_or_replace().await
    }

    /// The same with TLS, without which only the superuser is let in.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start.
    pub async fn start_temporary_with_tls(tls: ServerTls) -> anyhow::Result<Self> {
        let mut server = Self::new_temporary().await?;
        server.tls = Some(tls);
        server.start_or_replace().await
    }

    /// Another one in its place when someone took the port between our choosing it and the server's
    /// listening on it.
    async fn start_or_replace(mut self) -> anyhow::Result<Self> {
        match self.start().await {
            Err(_) if says_address_in_use(&self.log) => {
                let tls = self.tls.take();
                self = Self::new_temporary().await?;
                self.tls = tls;
                self.start().await?;
            }
            result => result?,
        }
        Ok(self)
    }

    pub(crate) async fn new_temporary() -> anyhow::Result<Self> {
        let dir = Scratch::of_this_process().await?.folder("postgres")?;
        let mut server = Self::in_folder(&dir, &dir.join("postgres.log"), None)?;
        server.temporary = true;
        Ok(server)
    }

    /// The server whose data lie in `dir`, running or not; a new one when there is none yet.
    /// The port is the one it had if that is still free, else the next free one from `first_port`
    /// (any free one without it).
    ///
    /// # Errors
    /// When the folder can't be used or no port is free.
    pub fn in_folder(dir: &Path, log: &Path, first_port: Option<u16>) -> anyhow::Result<Self> {
        open_folder(dir)?;
        let known = std::fs::read(dir.join("server.json")).ok();
        let known: Option<Settings> = known.and_then(|json| serde_json::from_slice(&json).ok());
        let mut settings = known.unwrap_or_else(|| Settings {
            access: PostgresAccess { port: 0, password: password() },
            process: None,
        });

        let running = settings.process.clone().filter(ProcessId::is_alive).map(Process::adopt);
        if running.is_none() && (settings.access.port == 0 || !ports::is_free(settings.access.port))
        {
            settings.access.port = first_port.map_or_else(ports::free_port, ports::next_free)?;
        }
        let (dir, log) = (dir.to_owned(), log.to_owned());
        Ok(Self { dir, log, settings, running, temporary: false, tls: None })
    }

    /// Where it listens, and the password.
    #[must_use]
    pub fn access(&self) -> &PostgresAccess {
        &self.settings.access
    }

    /// `postgres://…` for one of its databases.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.settings.access.url(database)
    }

    /// A new database with a name of its own that begins with `hint`.
    ///
    /// # Errors
    /// When the server does not run.
    pub async fn database(&self, hint: &str) -> anyhow::Result<Database> {
        self.settings.access.create_unique(hint).await
    }

    /// The postmaster, while it runs.
    #[must_use]
    pub fn process(&self) -> Option<&ProcessId> {
        self.running.as_ref().filter(|running| running.is_alive()).map(|running| &running.id)
    }

    /// The server's log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Starts it (the first time: creates its data) and waits until it answers. A server that
    /// runs already is left as it is.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start; says why.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        if self.process().is_some() {
            return Ok(());
        }
        let bin = locate::or_missing(locate::postgres_bin(), "PostgreSQL")?;
        version::check_postgres(&bin)?;
        if !self.data().join("PG_VERSION").is_file() {
            self.create_data(&bin)?;
        }
        self.remove_stale_lock().await?;
        let mut tries = 1;
        while let Err(error) = self.try_start(&bin).await {
            // The children of a killed postmaster need a moment to notice and let go.
            if tries == 5 || !error.to_string().contains("shared memory block") {
                return Err(error);
            }
            tries += 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }

    /// Where process 1 waits for nobody, as in many containers, a killed postmaster remains as a
    /// zombie, and the next one takes it for alive. Removes its lock file once the last process
    /// that worked on the data has ended.
    async fn remove_stale_lock(&self) -> anyhow::Result<()> {
        let lock = self.data().join("postmaster.pid");
        let Ok(content) = std::fs::read_to_string(&lock) else { return Ok(()) };
        let pid = content.lines().next().and_then(|line| line.parse::<u32>().ok());
        let Some(last) = &self.settings.process else { return Ok(()) };
        if Some(last.pid) != pid || last.is_alive() || !Path::new("/proc/self/cwd").exists() {
            return Ok(());
        }
        let end = Instant::now() + STOPPED;
        while works_in(&self.data())? {
            ensure!(Instant::now() < end, "a process of the killed PostgreSQL does not end");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        std::fs::remove_file(&lock)?;
        Ok(())
    }

    async fn try_start(&mut self, bin: &Path) -> anyhow::Result<()> {
        let mut postgres = self.command(&bin.join("postgres"))?;
        postgres.arg("-D").arg(self.data());
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=400",
            &format!("port={}", self.settings.access.port),
        ] {
            postgres.args(["-c", setting]);
        }
        if let Some(tls) = &self.tls {
            for setting in tls.for_postgres(&self.dir)? {
                postgres.args(["-c", &setting]);
            }
        }
        let running = self.running.insert(Process::spawn(&mut postgres, &self.log)?);
        self.settings.process = Some(running.id.clone());
        if self.temporary {
            Scratch::of_this_process().await?.register(&running.id, true)?;
        }
        self.save()?;

        let access = &self.settings.access;
        let answers = async || access.connect("postgres").await.is_ok();
        let running = self.running.as_ref().context("PostgreSQL was just started")?;
        wait_until_ready("PostgreSQL", running, &self.log, READY, answers).await
    }

    /// Stops it in the orderly way: clients are disconnected, a checkpoint is written.
    ///
    /// # Errors
    /// When it can't be signalled.
    pub async fn stop_gracefully(&mut self) -> anyhow::Result<()> {
        self.stop(Signal::SIGINT).await
    }

    /// Stops it without a checkpoint, like `pg_ctl stop -m immediate`: the next start recovers.
    ///
    /// # Errors
    /// When it can't be signalled.
    pub async fn stop_immediately(&mut self) -> anyhow::Result<()> {
        self.stop(Signal::SIGQUIT).await
    }

    /// Ends the postmaster with SIGKILL, as a crash would.
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
        Ok(())
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn save(&self) -> anyhow::Result<()> {
        write_private(&self.dir.join("server.json"), &serde_json::to_string(&self.settings)?)
    }

    /// An empty folder for the data.
    pub(crate) fn make_data_folder(&self) -> anyhow::Result<PathBuf> {
        let data = self.data();
        if data.exists() {
            // An initdb that was interrupted leaves a folder without PG_VERSION, or a partial one.
            std::fs::remove_dir_all(&data)?;
        }
        DirBuilder::new().mode(0o700).create(&data)?;
        give_to_postgres(&data)?;
        Ok(data)
    }

    fn create_data(&self, bin: &Path) -> anyhow::Result<()> {
        let data = self.make_data_folder()?;
        let password = self.dir.join("password");
        write_private(&password, &self.settings.access.password)?;
        give_to_postgres(&password)?;

        // Passwords in clear text over loopback for temporary servers: a SCRAM exchange costs
        // unoptimised test binaries 50 ms of CPU for each connection.
        let auth = if self.temporary { "password" } else { "scram-sha-256" };
        let output = self
            .command(&bin.join("initdb"))?
            .args(["--username=postgres", "--encoding=UTF8", "--locale=C", "--no-instructions"])
            .arg(format!("--auth={auth}"))
            .arg(format!("--pwfile={}", password.display()))
            .arg("--pgdata")
            .arg(&data)
            .output()
            .context("cannot start initdb")?;
        std::fs::remove_file(&password)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("initdb could not create {}: {}", data.display(), said.trim());
        }
        Ok(())
    }

    /// A command with a clean environment, run by the user that PostgreSQL accepts.
    pub(crate) fn command(&self, program: &Path) -> anyhow::Result<Command> {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").current_dir(self.data());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Some(user) = postgres_user()? {
            ensure!(
                !user.uid.is_root(),
                "the user {} is root under another name, which PostgreSQL refuses",
                user.name
            );
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        Ok(command)
    }
}

/// Whether any process has this as its working folder, as every process of PostgreSQL has its data.
fn works_in(dir: &Path) -> anyhow::Result<bool> {
    let dir = dir.canonicalize()?;
    let processes = std::fs::read_dir("/proc")?.flatten();
    let mut folders = processes.filter_map(|entry| entry.path().join("cwd").read_link().ok());
    Ok(folders.any(|folder| folder == dir))
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if self.temporary {
            let processes = self.running.iter().map(|running| (running.id.clone(), true));
            end_and_remove(&self.dir, &processes.collect::<Vec<_>>());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::PostgresServer;

    #[tokio::test]
    async fn a_port_that_was_taken_meanwhile_is_replaced_by_another() -> anyhow::Result<()> {
        let server = PostgresServer::new_temporary().await?;
        let port = server.access().port;
        let _faster = TcpListener::bind(("127.0.0.1", port))?;
        let server = server.start_or_replace().await?;
        assert_ne!(server.access().port, port);
        assert!(server.database("moved").await.is_ok());
        Ok(())
    }
}

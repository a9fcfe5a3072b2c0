//! A private PostgreSQL server: its own data and port on 127.0.0.1, otherwise with default
//! settings.
//!
//! | file | what it is about |
//! |---|---|
//! | `temporary` | a server of one test's own |
//! | `settings` | what is kept of a server between its starts |
//! | `data` | the folder of its data, filled by `initdb` |
//! | `stale_lock` | what a killed server leaves behind |
//! | `command` | the environment and the user that its programs run with |

mod command;
mod data;
mod settings;
mod stale_lock;
mod temporary;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;

use crate::checkout::open_folder;
use crate::database::{Database, PostgresAccess};
use crate::process::{Process, ProcessId};
use crate::readiness::wait_until_ready;
use crate::tempdir::TempDir;
use crate::tls::ServerTls;
use crate::{locate, version};
use settings::Settings;

const READY: Duration = Duration::from_secs(60);
const STOPPED: Duration = Duration::from_secs(60);

/// A private PostgreSQL server.
///
/// Durability settings (`fsync`, `synchronous_commit`, `full_page_writes`) have their defaults,
/// but for the server that tests [share](crate::shared()).
/// Port, password and data survive [`stop_gracefully`](Self::stop_gracefully),
/// [`stop_immediately`](Self::stop_immediately), [`kill`](Self::kill) and another
/// [`start`](Self::start). A temporary server is stopped and removed on drop; any other keeps
/// running.
#[derive(Debug)]
pub struct PostgresServer {
    dir: PathBuf,
    log: PathBuf,
    pub(crate) settings: Settings,
    running: Option<Process>,
    temporary: bool,
    tls: Option<ServerTls>,
}

impl PostgresServer {
    /// The server whose data are in `dir`, running or not; a new one if there is none. It keeps its
    /// port if that is still free; otherwise it gets the next free one from `first_port`, or any
    /// free one without it.
    ///
    /// # Errors
    /// When the folder can't be used or no port is free.
    pub fn in_folder(dir: &Path, log: &Path, first_port: Option<u16>) -> anyhow::Result<Self> {
        open_folder(dir)?;
        let mut settings = Settings::of(dir);
        let running = settings.process.clone().filter(ProcessId::is_alive).map(Process::adopt);
        if running.is_none() {
            settings.choose_port(first_port)?;
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

    /// A new database with a unique name that begins with `hint`.
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

    /// Starts the server, creating its data the first time, and waits until it answers. Does
    /// nothing if it is running.
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
            // The children of a killed postmaster need a moment to exit and release the shared
            // memory.
            if tries == 5 || !error.to_string().contains("shared memory block") {
                return Err(error);
            }
            tries += 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
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
            TempDir::of_this_process().await?.register(&running.id, true)?;
        }
        self.settings.save(&self.dir)?;

        let access = &self.settings.access;
        let answers = async || access.connect("postgres").await.is_ok();
        let running = self.running.as_ref().context("PostgreSQL was just started")?;
        wait_until_ready("PostgreSQL", running, &self.log, READY, answers).await
    }

    /// Stops it with a fast shutdown: disconnects clients and writes a checkpoint.
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
}

//! The servers that all tests of a run share.
//!
//! Every test process holds a shared lock on `users.lock` for its lifetime; the system releases it
//! however the process ends. The first one starts the keeper, which starts the servers and stops
//! them once the lock was not held for a while.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::cargo::keeper_binary;
use crate::checkout::{open_folder, root, stack_dir};
use crate::cleanup_notes::CleanupNotes;
use crate::database::{Database, PostgresAccess};
use crate::process::{Process, ProcessId};
use crate::readiness::last_lines_of;
use crate::secret::write_private;
use crate::vhost::{RabbitAccess, Vhost};

/// A PostgreSQL and a RabbitMQ that run for as long as tests use them.
#[derive(Clone, Debug)]
pub struct Servers {
    /// Where PostgreSQL listens.
    pub postgres: PostgresAccess,
    /// Where RabbitMQ listens.
    pub rabbitmq: RabbitAccess,
    cleanup_notes: CleanupNotes,
}

impl Servers {
    /// A new, empty database with a unique name that begins with `hint`.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn database(&self, hint: &str) -> anyhow::Result<Database> {
        let mut database = self.postgres.create_unique(hint).await?;
        database.cleanup_notes = Some(self.cleanup_notes.clone());
        Ok(database)
    }

    /// A new virtual host with a unique name that begins with `hint`.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn vhost(&self, hint: &str) -> anyhow::Result<Vhost> {
        let mut vhost = self.rabbitmq.create_unique(hint).await?;
        vhost.cleanup_notes = Some(self.cleanup_notes.clone());
        Ok(vhost)
    }
}

/// The servers of this test run. The first test of any process starts them; they are stopped and
/// removed a few seconds after the last one ended, also after a failure, Ctrl-C or SIGKILL.
///
/// # Errors
/// When PostgreSQL or RabbitMQ is not installed or does not start. Every test of the run gets the
/// same text, without trying again.
pub async fn shared() -> anyhow::Result<Servers> {
    static SHARED: OnceCell<Result<Servers, String>> = OnceCell::const_new();
    let shared = SHARED.get_or_init(async || {
        let joined = tokio::task::spawn_blocking(join).await;
        joined.map_err(anyhow::Error::from).flatten().map_err(|error| format!("{error:#}"))
    });
    shared.await.clone().map_err(|error| anyhow!(error))
}

/// More than the sum of the servers' own start timeouts.
const STARTED: Duration = Duration::from_secs(180);

/// The keeper's status, which only the keeper writes.
#[derive(Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) keeper: ProcessId,
    pub(crate) phase: Phase,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Phase {
    Starting,
    Ready { postgres: PostgresAccess, rabbitmq: RabbitAccess },
    Failed { error: String },
}

/// The files through which test processes and the keeper find each other, in `.stack/test`.
pub(crate) struct Rendezvous {
    dir: PathBuf,
}

impl Rendezvous {
    pub(crate) fn open() -> anyhow::Result<Self> {
        let dir = stack_dir()?.join("test");
        open_folder(&dir)?;
        open_folder(&dir.join("cleanup"))?;
        Ok(Self { dir })
    }

    pub(crate) fn lock_file(&self, name: &str) -> anyhow::Result<File> {
        let path = self.dir.join(name);
        Ok(File::options().create(true).truncate(false).write(true).open(path)?)
    }

    pub(crate) fn cleanup_notes(&self) -> CleanupNotes {
        CleanupNotes::in_folder(&self.dir.join("cleanup"))
    }

    pub(crate) fn write(&self, status: &Status) -> anyhow::Result<()> {
        write_private(&self.status_file(), &serde_json::to_string(status)?)
    }

    /// The status of a keeper that is alive.
    fn read(&self) -> Option<Status> {
        let json = std::fs::read(self.status_file()).ok()?;
        let status: Status = serde_json::from_slice(&json).ok()?;
        status.keeper.is_alive().then_some(status)
    }

    fn status_file(&self) -> PathBuf {
        self.dir.join("keeper.json")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("keeper.log")
    }

    /// Called by a keeper that has stopped its servers.
    pub(crate) fn clear(&self) {
        for file in [self.status_file(), self.log()] {
            std::fs::remove_file(file).ok();
        }
        std::fs::remove_dir_all(self.dir.join("cleanup")).ok();
    }

    fn start_keeper(&self) -> anyhow::Result<Process> {
        let mut command = Command::new(keeper_binary()?);
        command.arg("keep").arg(root()).current_dir(root());
        Process::spawn(&mut command, &self.log())
    }
}

fn join() -> anyhow::Result<Servers> {
    /// Held until this process ends.
    static USER: OnceLock<File> = OnceLock::new();

    let user = Rendezvous::open()?.lock_file("users.lock")?;
    // Waits while a previous keeper is stopping.
    user.lock_shared()?;
    // That keeper may have removed the cleanup folder.
    let rendezvous = Rendezvous::open()?;

    let (postgres, rabbitmq) = {
        let one_at_a_time = rendezvous.lock_file("start.lock")?;
        one_at_a_time.lock()?;
        let started = match rendezvous.read() {
            Some(_) => None,
            None => Some(rendezvous.start_keeper()?),
        };
        wait_for_servers(&rendezvous, started.as_ref())?
    };
    USER.get_or_init(|| user);
    Ok(Servers { postgres, rabbitmq, cleanup_notes: rendezvous.cleanup_notes() })
}

/// `started` is the keeper that this process has just started, which may not have written its
/// status yet; `None` if one was already running.
fn wait_for_servers(
    rendezvous: &Rendezvous,
    started: Option<&Process>,
) -> anyhow::Result<(PostgresAccess, RabbitAccess)> {
    let end = Instant::now() + STARTED;
    loop {
        // Checked before reading, so that the last status of an ended keeper counts.
        let may_still_write = started.is_some_and(Process::is_alive);
        match rendezvous.read().map(|status| status.phase) {
            Some(Phase::Ready { postgres, rabbitmq }) => return Ok((postgres, rabbitmq)),
            Some(Phase::Failed { error }) => bail!("{error}"),
            None if !may_still_write => {
                bail!("the test servers' keeper ended early; {}", last_lines_of(&rendezvous.log()))
            }
            Some(Phase::Starting) | None => {}
        }
        ensure!(
            Instant::now() < end,
            "the test servers' keeper has neither started them nor failed within {} s; {}",
            STARTED.as_secs(),
            last_lines_of(&rendezvous.log())
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

//! The programs of the previous release, with which the current ones must interoperate.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use stack::Service;

use crate::consumer_fixture::ConsumerFixture;
use crate::outbox::Outbox;

/// The previous release's commit.
const COMMIT: &str = "ffba2308a86c763517e9d9087350de8c3b38383e";

/// The variable that names a folder with the previous release's programs, which are then not built.
const BIN_DIR: &str = "RELEASE_BEFORE_BIN_DIR";

/// The previous release's sources and programs.
#[derive(Debug)]
pub struct PreviousRelease {
    sources: PathBuf,
    outbox_relay: PathBuf,
    customer_service: PathBuf,
    order_service: PathBuf,
}

impl PreviousRelease {
    /// Takes its sources from the repository, and builds its programs unless
    /// `RELEASE_BEFORE_BIN_DIR` names a folder with them.
    ///
    /// # Errors
    /// When the repository does not have the commit, as a shallow clone, or it does not compile.
    pub async fn get() -> anyhow::Result<Self> {
        tokio::task::spawn_blocking(get).await?
    }

    /// A file of its sources.
    ///
    /// # Errors
    /// When there is none.
    pub fn file(&self, path: &str) -> anyhow::Result<String> {
        std::fs::read_to_string(self.sources.join(path)).with_context(|| path.to_owned())
    }

    /// Its relay as a process on `outbox`.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn relay_process(&self, outbox: &Outbox) -> anyhow::Result<Service> {
        let settings = [
            ("DATABASE_URL", outbox.relay_url.as_str()),
            ("RABBITMQ_URL", outbox.vhost.amqp_url.as_str()),
            ("OPS_ADDR", "127.0.0.1:0"),
        ];
        Service::spawn(self.outbox_relay.clone(), ["run"], settings).await
    }

    /// Its relay's program.
    #[must_use]
    pub fn outbox_relay(&self) -> PathBuf {
        self.outbox_relay.clone()
    }

    /// Its order service's program.
    #[must_use]
    pub fn order_service(&self) -> PathBuf {
        self.order_service.clone()
    }

    /// Its customer service's program.
    #[must_use]
    pub fn customer_service(&self) -> PathBuf {
        self.customer_service.clone()
    }

    /// Its consumer as a process.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn consumer_process(&self, fixture: &ConsumerFixture) -> anyhow::Result<Service> {
        let settings = [
            ("DATABASE_URL", fixture.database.url.as_str()),
            ("RABBITMQ_URL", fixture.broker.amqp_url.as_str()),
            ("OPS_ADDR", "127.0.0.1:0"),
        ];
        Service::spawn(self.customer_service.clone(), ["consumer"], settings).await
    }
}

fn get() -> anyhow::Result<PreviousRelease> {
    let dir = stack::stack_dir()?.join("release-before");
    std::fs::create_dir_all(&dir)?;
    let lock = std::fs::File::create(dir.join("lock"))?;
    lock.lock()?;
    let sources = dir.join(COMMIT);
    if !sources.is_dir() {
        let unfinished = dir.join("unfinished");
        std::fs::remove_dir_all(&unfinished).ok();
        std::fs::create_dir(&unfinished)?;
        let mut archive = Command::new("git")
            .args(["archive", COMMIT])
            .current_dir(stack::root())
            .stdout(Stdio::piped())
            .spawn()?;
        let files = archive.stdout.take().context("a pipe")?;
        let unpacked =
            Command::new("tar").arg("x").current_dir(&unfinished).stdin(files).status()?;
        let is_there = archive.wait()?.success() && unpacked.success();
        ensure!(is_there, "commit {COMMIT} is not in the repository: git fetch --unshallow");
        std::fs::rename(unfinished, &sources)?;
    }
    let programs = if let Some(built) = std::env::var_os(BIN_DIR) {
        PathBuf::from(built)
    } else {
        let target = dir.join("target");
        let mut build = stack::cargo();
        let programs = ["-p", "outbox-relay", "-p", "customer-service", "-p", "order-service"];
        build.args(["build", "--locked"]).args(programs).arg("--target-dir").arg(&target);
        ensure!(build.current_dir(&sources).status()?.success(), "{COMMIT} does not compile");
        target.join("debug")
    };
    let [outbox_relay, customer_service, order_service] =
        ["outbox-relay", "customer-service", "order-service"].map(|name| programs.join(name));
    for program in [&outbox_relay, &customer_service, &order_service] {
        ensure!(program.is_file(), "{} is missing", program.display());
    }
    Ok(PreviousRelease { sources, outbox_relay, customer_service, order_service })
}

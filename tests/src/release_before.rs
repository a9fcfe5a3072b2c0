//! The last release of the relay, beside which this one must work.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use stack::Service;

use crate::outbox::Outbox;

/// The commit of the last release.
const COMMIT: &str = "ffba2308a86c763517e9d9087350de8c3b38383e";

/// Where a program of the last release may lie that need not be built.
const BIN_DIR: &str = "RELEASE_BEFORE_BIN_DIR";

/// The last release: its sources, and its relay.
#[derive(Debug)]
pub struct ReleaseBefore {
    sources: PathBuf,
    outbox_relay: PathBuf,
}

impl ReleaseBefore {
    /// Takes its sources from the repository, and builds its relay where `RELEASE_BEFORE_BIN_DIR` does not name a folder that has it.
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
}

fn get() -> anyhow::Result<ReleaseBefore> {
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
    let outbox_relay = if let Some(built) = std::env::var_os(BIN_DIR) {
        PathBuf::from(built).join("outbox-relay")
    } else {
        let target = dir.join("target");
        let mut build = stack::cargo();
        build.args(["build", "--locked", "-p", "outbox-relay", "--target-dir"]).arg(&target);
        ensure!(build.current_dir(&sources).status()?.success(), "{COMMIT} does not compile");
        target.join("debug/outbox-relay")
    };
    ensure!(outbox_relay.is_file(), "{} is missing", outbox_relay.display());
    Ok(ReleaseBefore { sources, outbox_relay })
}

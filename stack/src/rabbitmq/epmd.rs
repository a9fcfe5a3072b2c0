//! Erlang's port mapper, which tells nodes on which port the others listen: one per single node or
//! cluster.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{RabbitServer, STOPPED};
use crate::locate;
use crate::ports::free_port;
use crate::process::Process;
use crate::readiness::{says_address_in_use, wait_until_ready};
use crate::tempdir::{TempDir, end_and_remove};

impl RabbitServer {
    /// Starts this node's port mapper. The nodes of a cluster share one.
    pub(super) async fn start_epmd(&mut self) -> anyhow::Result<()> {
        if !self.peers.is_empty() || self.epmd.as_ref().is_some_and(Process::is_alive) {
            return Ok(());
        }
        let port = self.settings.epmd_port;
        let running = spawn(port, &self.dir, &self.log)?;
        self.settings.epmd_process = Some(running.id.clone());
        if self.temporary {
            TempDir::of_this_process().await?.register(&running.id, false)?;
        }
        self.settings.save(&self.dir)?;
        answers(&running, port, &self.log).await?;
        self.epmd = Some(running);
        Ok(())
    }
}

/// The port mapper of a cluster. Killed and removed on drop.
#[derive(Debug)]
pub(super) struct SharedEpmd {
    pub(super) port: u16,
    dir: PathBuf,
    running: Process,
}

impl SharedEpmd {
    pub(super) async fn start_temporary() -> anyhow::Result<Self> {
        loop {
            let tempdir = TempDir::of_this_process().await?;
            let dir = tempdir.folder("epmd")?;
            let (port, log) = (free_port()?, dir.join("epmd.log"));
            let running = spawn(port, &dir, &log)?;
            tempdir.register(&running.id, false)?;
            let epmd = Self { port, dir, running };
            match answers(&epmd.running, port, &log).await {
                // The port was taken between choosing it and listening on it.
                Err(_) if says_address_in_use(&log) => {}
                result => return result.map(|()| epmd),
            }
        }
    }
}

impl Drop for SharedEpmd {
    fn drop(&mut self) {
        end_and_remove(&self.dir, &[(self.running.id.clone(), false)]);
    }
}

/// Runs it in the foreground: a node would start it as a daemon that outlives the tests.
fn spawn(port: u16, dir: &Path, log: &Path) -> anyhow::Result<Process> {
    let program = locate::or_missing(locate::epmd(), "Erlang's epmd")?;
    let mut epmd = Command::new(program);
    epmd.args(["-port", &port.to_string(), "-address", "127.0.0.1"]).env_clear().current_dir(dir);
    Process::spawn(&mut epmd, log)
}

async fn answers(running: &Process, port: u16, log: &Path) -> anyhow::Result<()> {
    let answers = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
    wait_until_ready("Erlang's epmd", running, log, STOPPED, answers).await
}

//! Erlang's port mapper, which tells nodes where others listen: one for this node alone.

use std::process::Command;

use super::{RabbitServer, STOPPED};
use crate::locate;
use crate::process::Process;
use crate::readiness::wait_until_ready;
use crate::scratch::Scratch;

impl RabbitServer {
    /// Erlang's port mapper in the foreground: started by the node itself it would be a daemon
    /// that outlives everyone.
    pub(super) async fn start_epmd(&mut self) -> anyhow::Result<()> {
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
        self.settings.save(&self.dir)?;

        let port = self.settings.epmd_port;
        let answers = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        wait_until_ready("Erlang's epmd", &running, &self.log, STOPPED, answers).await?;
        self.epmd = Some(running);
        Ok(())
    }
}

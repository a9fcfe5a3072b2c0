//! The lock file of a server that was killed.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::{PostgresServer, STOPPED};

impl PostgresServer {
    /// Where process 1 does not reap its children, as in many containers, a killed postmaster
    /// remains as a zombie that the next one takes for alive. Removes its lock file once the last
    /// process that used the data has ended.
    pub(super) async fn remove_stale_lock(&self) -> anyhow::Result<()> {
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
}

/// Whether this is the working directory of any process, as the data folder is of every PostgreSQL
/// process.
fn works_in(dir: &Path) -> anyhow::Result<bool> {
    let dir = dir.canonicalize()?;
    let processes = std::fs::read_dir("/proc")?.flatten();
    let mut folders = processes.filter_map(|entry| entry.path().join("cwd").read_link().ok());
    Ok(folders.any(|folder| folder == dir))
}

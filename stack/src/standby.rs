//! A standby server that follows another one and can be promoted.

use anyhow::{Context, ensure};

use crate::locate;
use crate::postgres::PostgresServer;

impl PostgresServer {
    /// Starts a temporary hot standby of this server.
    ///
    /// # Errors
    /// When this one does not run, or the other one does not start.
    pub async fn start_standby(&self) -> anyhow::Result<Self> {
        let mut standby = Self::new_temporary().await?;
        standby.follow(self).await?;
        Ok(standby)
    }

    /// Replaces this server's data by those of `primary` and starts it as a hot standby of that:
    /// a former primary, for instance, after another server took its place.
    ///
    /// # Errors
    /// When this one runs, or the other one does not.
    pub async fn follow(&mut self, primary: &Self) -> anyhow::Result<()> {
        ensure!(self.process().is_none(), "a server that runs keeps its data");
        // The base backup includes the passwords.
        self.settings.access.password.clone_from(&primary.access().password);
        let data = self.make_data_folder()?;
        let bin = locate::or_missing(locate::postgres_bin(), "PostgreSQL")?;
        let output = self
            .command(&bin.join("pg_basebackup"))?
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--dbname"])
            .arg(primary.url("postgres"))
            .arg("--pgdata")
            .arg(&data)
            .output()
            .context("cannot start pg_basebackup")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "pg_basebackup failed: {}", said.trim());
        self.start().await
    }

    /// Promotes a standby to a primary.
    ///
    /// # Errors
    /// When it does not follow any.
    pub async fn promote(&self) -> anyhow::Result<()> {
        let client = self.access().connect("postgres").await?;
        client.batch_execute("SELECT pg_promote()").await?;
        Ok(())
    }
}

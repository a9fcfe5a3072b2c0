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
        // The base backup includes the passwords.
        standby.settings.access.password.clone_from(&self.access().password);
        let data = standby.make_data_folder()?;
        let bin = locate::or_missing(locate::postgres_bin(), "PostgreSQL")?;
        let output = standby
            .command(&bin.join("pg_basebackup"))?
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--dbname"])
            .arg(self.url("postgres"))
            .arg("--pgdata")
            .arg(&data)
            .output()
            .context("cannot start pg_basebackup")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "pg_basebackup failed: {}", said.trim());
        standby.start().await?;
        Ok(standby)
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

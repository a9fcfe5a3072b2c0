//! The folder of a server's data.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::PostgresServer;
use crate::checkout::give_to_postgres;
use crate::secret::write_private;

impl PostgresServer {
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
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

    pub(super) fn create_data(&self, bin: &Path) -> anyhow::Result<()> {
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
}

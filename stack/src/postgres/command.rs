//! The commands of a server's programs.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;

use super::PostgresServer;
use crate::checkout::postgres_user;

impl PostgresServer {
    /// A command with a clean environment, run by the user that PostgreSQL accepts.
    pub(crate) fn command(&self, program: &Path) -> anyhow::Result<Command> {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").current_dir(self.data());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Some(user) = postgres_user()? {
            ensure!(
                !user.uid.is_root(),
                "the user {} is root under another name, which PostgreSQL refuses",
                user.name
            );
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        Ok(command)
    }
}

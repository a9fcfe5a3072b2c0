//! The settings that a server keeps across restarts: port, password and process.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::database::PostgresAccess;
use crate::ports;
use crate::process::ProcessId;
use crate::secret::{password, write_private};

const FILE: &str = "server.json";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) access: PostgresAccess,
    pub(super) process: Option<ProcessId>,
}

impl Settings {
    /// Loads the settings of the server in `dir`, or creates new ones.
    pub(super) fn of(dir: &Path) -> Self {
        let known = std::fs::read(dir.join(FILE)).ok();
        let known = known.and_then(|json| serde_json::from_slice(&json).ok());
        known.unwrap_or_else(|| Self {
            access: PostgresAccess { port: 0, password: password() },
            process: None,
        })
    }

    /// Keeps the port if it is still free; otherwise takes the next free one from `first`, or any
    /// free one without it.
    pub(super) fn choose_port(&mut self, first: Option<u16>) -> anyhow::Result<()> {
        let port = &mut self.access.port;
        if *port == 0 || !ports::is_free(*port) {
            *port = first.map_or_else(ports::free_port, ports::next_free)?;
        }
        Ok(())
    }

    pub(super) fn save(&self, dir: &Path) -> anyhow::Result<()> {
        write_private(&dir.join(FILE), &serde_json::to_string(self)?)
    }
}

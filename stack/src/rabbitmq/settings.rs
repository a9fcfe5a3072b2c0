//! The settings that a node keeps across restarts: name, ports, password and processes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::ports::{self, Ports};
use crate::process::ProcessId;
use crate::secret::{password, write_private};
use crate::vhost::RabbitAccess;

const FILE: &str = "server.json";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) access: RabbitAccess,
    /// The data on disk are bound to this name.
    pub(super) node: String,
    pub(super) epmd_port: u16,
    pub(super) dist_port: u16,
    pub(super) process: Option<ProcessId>,
    pub(super) epmd_process: Option<ProcessId>,
}

impl Settings {
    /// Loads the settings of the node in `dir`, or creates new ones.
    pub(super) fn of(dir: &Path) -> Self {
        let known = std::fs::read(dir.join(FILE)).ok();
        let known = known.and_then(|json| serde_json::from_slice(&json).ok());
        known.unwrap_or_else(|| Self {
            access: RabbitAccess {
                amqp_port: 0,
                management_port: 0,
                user: "pipeline".to_owned(),
                password: password(),
            },
            node: format!("outbox-{:08x}@localhost", rand::random::<u32>()),
            epmd_port: 0,
            dist_port: 0,
            process: None,
            epmd_process: None,
        })
    }

    /// Keeps the ports that are still free and replaces the others by the given ones; the port
    /// mapper's only `with_epmd`.
    pub(super) fn choose_ports(&mut self, given: Ports, with_epmd: bool) {
        let keep = |port: u16| port != 0 && ports::is_free(port);
        let access = &mut self.access;
        for (port, new) in [
            (&mut access.amqp_port, given.amqp),
            (&mut access.management_port, given.management),
            (&mut self.dist_port, given.dist),
        ] {
            *port = if keep(*port) { *port } else { new };
        }
        if with_epmd && !keep(self.epmd_port) {
            self.epmd_port = given.epmd;
        }
    }

    pub(super) fn save(&self, dir: &Path) -> anyhow::Result<()> {
        write_private(&dir.join(FILE), &serde_json::to_string(self)?)
    }
}

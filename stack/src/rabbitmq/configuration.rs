//! The files that a node reads when it starts.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::RabbitServer;
use crate::secret::write_private;
use crate::vhost::RabbitAccess;

impl RabbitServer {
    pub(super) fn write_configuration(&self) -> anyhow::Result<()> {
        let RabbitAccess { amqp_port, management_port, user, password } = &self.settings.access;
        // Quorum queues keep their write-ahead log in memory too; the default of 512 MiB is too
        // much here.
        let mut configuration = format!(
            "listeners.tcp.1 = 127.0.0.1:{amqp_port}\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management_port}\n\
             default_user = {user}\n\
             default_pass = {password}\n\
             log.console = true\n\
             log.file = false\n\
             raft.wal_max_size_bytes = 67108864\n"
        );
        if let Some((port, tls)) = &self.tls {
            configuration += &tls.for_rabbitmq(&self.dir, *port)?;
        }
        // A new node joins the others on this list
        // (https://www.rabbitmq.com/docs/cluster-formation).
        for (number, peer) in (1..).zip(&self.peers) {
            configuration += &format!("cluster_formation.classic_config.nodes.{number} = {peer}\n");
        }
        write_private(&self.dir.join("rabbitmq.conf"), &configuration)?;
        write_private(&self.dir.join("enabled_plugins"), "[rabbitmq_management].\n")?;
        if self.cookie().exists() {
            return Ok(());
        }
        self.write_cookie(&crate::secret::password())
    }

    /// Writes the Erlang cookie, with which nodes and tools authenticate.
    pub(super) fn write_cookie(&self, cookie: &str) -> anyhow::Result<()> {
        write_private(&self.cookie(), cookie)?;
        Ok(std::fs::set_permissions(self.cookie(), std::fs::Permissions::from_mode(0o400))?)
    }

    fn cookie(&self) -> PathBuf {
        self.dir.join(".erlang.cookie")
    }
}

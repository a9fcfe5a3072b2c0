//! A node for one test, on free ports, removed after the test.

use super::RabbitServer;
use crate::ports::{self, Ports};
use crate::readiness::says_address_in_use;
use crate::tempdir::{TempDir, end_and_remove};
use crate::tls::ServerTls;

impl RabbitServer {
    /// Starts a node for this test alone, for faults that would disturb other tests. Takes 5 to 10
    /// seconds.
    ///
    /// # Errors
    /// When RabbitMQ is not installed or does not start.
    pub async fn start_temporary() -> anyhow::Result<Self> {
        Self::new_temporary().await?.start_or_replace().await
    }

    /// The same with TLS on a separate port, [`tls_port`](Self::tls_port).
    ///
    /// # Errors
    /// When RabbitMQ is not installed or does not start.
    pub async fn start_temporary_with_tls(tls: ServerTls) -> anyhow::Result<Self> {
        let mut server = Self::new_temporary().await?;
        server.tls = Some((ports::free_port()?, tls));
        server.start_or_replace().await
    }

    /// Starts another node if a port was taken between choosing it and listening on it.
    async fn start_or_replace(mut self) -> anyhow::Result<Self> {
        match self.start().await {
            Err(_) if says_address_in_use(&self.log) => {
                let tls = self.tls.take().map(|(_, tls)| tls);
                self = Self::new_temporary().await?;
                self.tls = tls
                    .map(|tls| Ok::<_, anyhow::Error>((ports::free_port()?, tls)))
                    .transpose()?;
                self.start().await?;
            }
            result => result?,
        }
        Ok(self)
    }

    pub(super) async fn new_temporary() -> anyhow::Result<Self> {
        let dir = TempDir::of_this_process().await?.folder("rabbitmq")?;
        let mut server = Self::in_folder(&dir, &dir.join("rabbitmq.log"), Ports::any()?)?;
        server.temporary = true;
        Ok(server)
    }
}

impl Drop for RabbitServer {
    fn drop(&mut self) {
        if self.temporary {
            let processes = self.running.iter().chain(self.epmd.iter());
            let processes = processes.map(|running| (running.id.clone(), false));
            end_and_remove(&self.dir, &processes.collect::<Vec<_>>());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::RabbitServer;

    async fn starts_elsewhere_when_taken(
        port_of: impl Fn(&RabbitServer) -> u16,
    ) -> anyhow::Result<()> {
        let server = RabbitServer::new_temporary().await?;
        let port = port_of(&server);
        let _faster = TcpListener::bind(("127.0.0.1", port))?;
        let server = server.start_or_replace().await?;
        assert_ne!(port_of(&server), port);
        assert!(server.vhost("moved").await.is_ok());
        Ok(())
    }

    #[tokio::test]
    async fn an_amqp_port_that_was_taken_meanwhile_is_replaced_by_another() -> anyhow::Result<()> {
        starts_elsewhere_when_taken(|server| server.access().amqp_port).await
    }

    #[tokio::test]
    async fn a_port_between_nodes_that_was_taken_meanwhile_is_replaced() -> anyhow::Result<()> {
        starts_elsewhere_when_taken(|server| server.settings.dist_port).await
    }
}

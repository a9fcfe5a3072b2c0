//! A server for one test, on a free port, removed after the test.

use super::PostgresServer;
use crate::readiness::says_address_in_use;
use crate::tempdir::{TempDir, end_and_remove};
use crate::tls::ServerTls;

impl PostgresServer {
    /// Starts a server for this test alone, for faults that would disturb other tests. Takes 2 to 3
    /// seconds.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start.
    pub async fn start_temporary() -> anyhow::Result<Self> {
        Self::new_temporary().await?.start_or_replace().await
    }

    /// The same with TLS, which is required for every role but the superuser.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start.
    pub async fn start_temporary_with_tls(tls: ServerTls) -> anyhow::Result<Self> {
        let mut server = Self::new_temporary().await?;
        server.tls = Some(tls);
        server.start_or_replace().await
    }

    /// Starts another server if the port was taken between choosing it and listening on it.
    async fn start_or_replace(mut self) -> anyhow::Result<Self> {
        match self.start().await {
            Err(_) if says_address_in_use(&self.log) => {
                let tls = self.tls.take();
                self = Self::new_temporary().await?;
                self.tls = tls;
                self.start().await?;
            }
            result => result?,
        }
        Ok(self)
    }

    pub(crate) async fn new_temporary() -> anyhow::Result<Self> {
        let dir = TempDir::of_this_process().await?.folder("postgres")?;
        let mut server = Self::in_folder(&dir, &dir.join("postgres.log"), None)?;
        server.temporary = true;
        Ok(server)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if self.temporary {
            let processes = self.running.iter().map(|running| (running.id.clone(), true));
            end_and_remove(&self.dir, &processes.collect::<Vec<_>>());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::PostgresServer;

    #[tokio::test]
    async fn a_port_that_was_taken_meanwhile_is_replaced_by_another() -> anyhow::Result<()> {
        let server = PostgresServer::new_temporary().await?;
        let port = server.access().port;
        let _faster = TcpListener::bind(("127.0.0.1", port))?;
        let server = server.start_or_replace().await?;
        assert_ne!(server.access().port, port);
        assert!(server.database("moved").await.is_ok());
        Ok(())
    }
}

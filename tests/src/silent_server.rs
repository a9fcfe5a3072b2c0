//! A server that accepts connections and sends nothing, as one that hangs does.

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A server that never answers. Dropping it closes its connections.
#[derive(Debug)]
pub struct SilentServer {
    port: u16,
    accepting: JoinHandle<()>,
}

impl SilentServer {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let accepting = tokio::spawn(async move {
            let mut connections = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.push(connection);
            }
        });
        Ok(Self { port, accepting })
    }

    /// Its address, as in a URL.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for SilentServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

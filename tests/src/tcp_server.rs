//! A TCP server of a test, as a proxy or a fake server.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The receive buffer in bytes: small, so that a client notices when nobody reads.
const RECEIVED: u32 = 64 << 10;

/// A free port, and a task for each connection to it. Dropping it stops them all.
#[derive(Debug)]
pub struct TcpServer {
    /// Where it listens.
    pub address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl TcpServer {
    /// Serves each connection with `serve`. The client sees any error.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start<S: Future<Output = anyhow::Result<()>> + Send + 'static>(
        serve: impl Fn(TcpStream) -> S + Send + 'static,
    ) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(RECEIVED)?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(64)?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                serving.spawn(serve(client));
                while serving.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, accepting })
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The `host:port` in a URL with a password and a single server.
///
/// # Errors
/// When it has none.
pub fn server_of(url: &str) -> anyhow::Result<&str> {
    let (_, rest) = url.split_once('@').context("a password")?;
    let (server, _) = rest.split_once('/').context("a path")?;
    Ok(server)
}

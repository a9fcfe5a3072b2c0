//! An address that silently drops connection attempts, as a firewall does.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// The time within which a connection to a local port is established, also on a busy machine.
const CONNECTED: Duration = Duration::from_secs(1);

/// The maximum length of a port's accept queue.
const MOST: usize = 64;

/// The port. Its accept queue is full, so that the system drops further connection attempts.
#[derive(Debug)]
pub struct UnreachableAddress {
    address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl UnreachableAddress {
    /// Opens a port and fills its accept queue.
    ///
    /// # Errors
    /// When none is free, or the system takes any number of connections.
    pub async fn listens() -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(1)?;
        let address = listener.local_addr()?;
        let mut waiting = Vec::new();
        while let Ok(connected) = timeout(CONNECTED, TcpStream::connect(address)).await {
            waiting.push(connected?);
            if waiting.len() > MOST {
                bail!("the system drops no connection");
            }
        }
        Ok(Self { address, _listener: listener, _waiting: waiting })
    }

    /// The address as a broker's URL.
    #[must_use]
    pub fn broker_url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address)
    }
}

//! An address at which nobody answers: what is sent there is dropped, as a firewall does, and
//! nobody says that it is.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// How long a connection to a port of this machine takes at the most, also on a busy one.
const CONNECTED: Duration = Duration::from_secs(1);

/// Connections that a port may take at the most before anybody accepts them.
const MOST: usize = 64;

/// The port. The system drops what asks for a connection, as more of them wait than it keeps for
/// whoever listens.
#[derive(Debug)]
pub struct UnreachableAddress {
    address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl UnreachableAddress {
    /// A port of its own.
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

    /// Where nobody answers, as a broker's URL.
    #[must_use]
    pub fn broker_url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address)
    }
}

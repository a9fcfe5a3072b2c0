//! A port on which nobody listens.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port of 127.0.0.1 that refuses connections. It is bound for as long as this lives, so that no
/// other process can listen on it.
#[derive(Debug)]
pub struct ClosedPort {
    address: SocketAddr,
    _bound: TcpSocket,
}

impl ClosedPort {
    /// Reserves a port.
    ///
    /// # Errors
    /// When none is free.
    pub fn reserve() -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Self { address: socket.local_addr()?, _bound: socket })
    }

    /// The address, as in a URL.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }
}

//! The byte stream to and from a broker, with or without TLS.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::Address;

/// TCP keepalive: ends a connection without heartbeats whose host is gone, and keeps firewalls from
/// dropping a quiet one. `TCP_USER_TIMEOUT` is not set: a broker in alarm reads nothing while that
/// lasts, and is healthy.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(30))
    .with_interval(Duration::from_secs(10))
    .with_retries(3);

/// Both directions of a connection.
pub type BrokerStream = Box<dyn Stream>;

/// A byte stream that a connection reads and writes.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug> Stream for S {}

impl Address {
    /// Opens the connection with TCP and TLS.
    ///
    /// # Errors
    /// Why the broker can't be reached or verified.
    pub async fn stream(&self) -> anyhow::Result<BrokerStream> {
        let authority = &self.uri.authority;
        let stream = TcpStream::connect((authority.host.as_str(), authority.port)).await?;
        // Buffers are sent complete: waiting for more would only delay them.
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = tls.server_name(&authority.host);
        let name = name.try_into().context("the broker's name is none that TLS knows")?;
        let connector = TlsConnector::from(Arc::new(tls.client_config()?));
        Ok(Box::new(connector.connect(name, stream).await?))
    }
}

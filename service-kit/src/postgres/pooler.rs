//! Detects a pooler such as PgBouncer.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{Client, Error, SimpleQueryMessage};

/// Returns true if a pooler is between the client and the server. At startup a server sends the
/// process id of its backend (`BackendKeyData`); a pooler, whose clients change backends, makes up
/// a number.
///
/// # Errors
/// If the server does not return the backend's process id.
pub async fn is_pooled(client: &Client) -> Result<bool, Error> {
    // The simple protocol: poolers mix up prepared statements.
    let messages = client.simple_query("SELECT pg_backend_pid()").await?;
    let backend_pid = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    Ok(backend_pid != announced_pid(client).await)
}

/// Returns the process id sent at startup. The driver keeps it for cancel requests and does not
/// expose it, so a cancel request is written to a buffer and parsed.
async fn announced_pid(client: &Client) -> Option<u32> {
    let captured = CapturedRequest::default();
    client.cancel_token().cancel_query_raw(captured.clone(), NoEncryption).await.ok()?;
    let bytes = captured.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // CancelRequest: length, code, process id, secret of four bytes
    // (https://www.postgresql.org/docs/current/protocol-message-formats.html).
    let request = bytes.len().checked_sub(16).and_then(|start| bytes.get(start..))?;
    let (head, process) = (request.get(..8)?, request.get(8..12)?);
    let is_request = head == [0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e];
    let process = process.try_into().map(u32::from_be_bytes).ok()?;
    is_request.then_some(process)
}

/// A stream that captures what is written to it, as a server that accepts TLS.
#[derive(Debug, Clone, Default)]
struct CapturedRequest(Arc<Mutex<Vec<u8>>>);

impl AsyncRead for CapturedRequest {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // The response to SSLRequest.
        buffer.put_slice(b"S");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CapturedRequest {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl TlsStream for CapturedRequest {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

/// Claims to be TLS, but does not encrypt.
struct NoEncryption;

impl TlsConnect<CapturedRequest> for NoEncryption {
    type Stream = CapturedRequest;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<CapturedRequest>>;

    fn connect(self, stream: CapturedRequest) -> Self::Future {
        std::future::ready(Ok(stream))
    }
}

//! Cancels the statement in flight on a connection, and waits until the server has processed the
//! request.
//!
//! The driver closes its side of the connection as soon as the request is written. A pooler takes
//! that for a client that has gone and drops the request.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_postgres::CancelToken;
use tokio_postgres::config::Host as Name;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::postgres::error::reason;
use crate::postgres::host::Host;
use crate::postgres::multi_host::resolve;
use crate::postgres::url::DatabaseUrl;

/// How long a server may take to accept and process a request. Longer than any caller waits:
/// `PgBouncer` 1.18 terminates if the client closes such a connection first.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a caller waits for a statement after its time limit. The server reports a cancelled
/// statement at once, unless it hangs or the connection is cut.
pub(super) const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// Cancels the statement that the session of `token` runs, if any. Which of several hosts the
/// session is connected to is not known here, so all get the request; the others don't know the
/// secret in it and ignore it.
pub(super) async fn cancel(token: CancelToken, url: DatabaseUrl, tls: MakeRustlsConnect) {
    let requests = url.hosts.iter().map(|host| cancel_at(host, &token, &url, &tls));
    if timeout(REQUEST_TIMEOUT, join_all(requests)).await.is_err() {
        tracing::debug!("a cancel request timed out");
    }
}

async fn cancel_at(host: &Host, token: &CancelToken, url: &DatabaseUrl, tls: &MakeRustlsConnect) {
    let Ok(addresses) = resolve(host, &url.config, url.connect_timeout()).await else {
        return;
    };
    let requests = addresses.into_iter().map(async |address| match (&host.name, address) {
        (Some(Name::Unix(folder)), None) => {
            let path = folder.join(format!(".s.PGSQL.{}", host.port));
            send(UnixStream::connect(path).await, host, token, tls).await
        }
        (_, Some(address)) => {
            send(TcpStream::connect((address, host.port)).await, host, token, tls).await
        }
        (_, None) => Ok(()),
    });
    for sent in join_all(requests).await {
        if let Err(error) = sent {
            tracing::debug!(%host, error, "a cancel request failed");
        }
    }
}

async fn send<S>(
    stream: io::Result<S>,
    host: &Host,
    token: &CancelToken,
    tls: &MakeRustlsConnect,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = ClosedByPeer(stream.map_err(|error| error.to_string())?);
    let name = match &host.name {
        Some(Name::Tcp(name)) => name.clone(),
        _ => host.address.map(|address| address.to_string()).unwrap_or_default(),
    };
    let tls = MakeTlsConnect::<ClosedByPeer<S>>::make_tls_connect(&mut tls.clone(), &name);
    let tls = tls.map_err(|error| error.to_string())?;
    token.cancel_query_raw(stream, tls).await.map_err(|error| reason(&error))
}

/// A stream that is closed by the peer only, which a server does once it has processed the request.
struct ClosedByPeer<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for ClosedByPeer<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClosedByPeer<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut bytes = [0; 64];
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer));
            // However the peer closes the stream, it has processed the request.
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

//! A client's TCP stream, which reports the progress of requests and responses.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::progress::Progress;

/// The stream that hyper reads from and writes to.
#[derive(Debug)]
pub(super) struct ClientStream {
    tcp: TcpStream,
    progress: Arc<Progress>,
    /// hyper could not parse a request, and its response to that was dropped.
    parser_response_dropped: bool,
}

impl ClientStream {
    pub(super) const fn new(tcp: TcpStream, progress: Arc<Progress>) -> Self {
        Self { tcp, progress, parser_response_dropped: false }
    }

    pub(super) fn into_tcp(self) -> TcpStream {
        self.tcp
    }

    /// Returns true if hyper writes its own response, which has no body, to bytes that it can't
    /// parse. The application's responses are sent whole before the next request is read, so
    /// anything written between requests is hyper's own.
    fn is_parser_response(&mut self) -> bool {
        let is_parser_response = self.progress.is_between_requests();
        self.parser_response_dropped |= is_parser_response;
        is_parser_response
    }

    fn record_sent(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.progress.bytes_sent(bytes);
        }
        written
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(task, buffer);
        if buffer.filled().len() > before && !self.progress.bytes_received() {
            // Looks to hyper as if the client had closed the connection: the request must not
            // begin.
            buffer.set_filled(before);
        }
        read
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_parser_response() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.tcp).poll_write(task, bytes);
        self.record_sent(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_parser_response() {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let written = Pin::new(&mut self.tcp).poll_write_vectored(task, slices);
        self.record_sent(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.tcp).poll_flush(task))?;
        self.progress.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.parser_response_dropped {
            // The error response is still to be sent.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.tcp).poll_shutdown(task)
    }
}

//! What answers the requests of a listener.

use std::error::Error;
use std::net::SocketAddr;

use hyper::body::{Body, Bytes, Incoming};
use hyper::{Request, Response};

/// The address of the client at the other end of a request's connection: its own, or a proxy's.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "api"), expect(dead_code, reason = "only applications ask for it"))]
pub(crate) struct PeerAddress(pub(crate) SocketAddr);

/// Answers requests. A request's extensions hold its [`PeerAddress`] and its connection's
/// [`Progress`](super::Progress), which a handler tells when it has read the whole body; a
/// response's extensions may hold a [`MemoryPermit`](super::MemoryPermit), which is kept until the
/// response is sent.
pub(crate) trait Handler: Send + Sync + 'static {
    /// The body of a response.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin;

    /// Returns the response to a request.
    fn respond(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

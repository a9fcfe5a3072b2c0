//! Serves an application on a listener.

use std::io;
use std::time::Duration;

use clap::Args;
use http_body_util::combinators::BoxBody;
use hyper::body::{Bytes, Incoming};
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Endpoint, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::metrics;
use crate::config::limit_or_none;
use crate::listener::{self, Handler, Limits, PeerAddress};

/// Settings of the listener.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct ServeArgs {
    /// Connections at the most; one on top takes the place of the one that has been idle for
    /// longest, else is answered 503. Each needs a file descriptor
    #[arg(long, env = "HTTP_MAX_CONNECTIONS", default_value_t = 800, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    pub http_max_connections: u32,

    /// How long to go on accepting after SIGTERM or SIGINT, not ready any more: until load
    /// balancers have noticed. SHUTDOWN_GRACE begins after it
    #[arg(long, env = "SHUTDOWN_DELAY", value_parser = limit_or_none, default_value = "0s", value_name = "DURATION")]
    pub shutdown_delay: Duration,
}

/// Serves `app` on `tcp` until `shutdown`, plus the configured delay. Then finishes the
/// requests in flight, for at most `grace`.
///
/// # Errors
/// If the listener has no local address.
pub async fn serve(
    tcp: TcpListener,
    app: impl Endpoint<Output = Response> + 'static,
    args: &ServeArgs,
    grace: Duration,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    tracing::info!(address = %tcp.local_addr()?, "HTTP port is open");
    metrics::describe_requests();
    let limits = Limits::new(usize::try_from(args.http_max_connections)?);
    let stop = async {
        shutdown.cancelled().await;
        tokio::time::sleep(args.shutdown_delay).await;
    };
    listener::serve(limits, tcp, Application(app), grace, stop).await;
    Ok(())
}

/// An application of the framework as a handler of the listener.
struct Application<E>(E);

impl<E: Endpoint<Output = Response> + 'static> Handler for Application<E> {
    type Body = BoxBody<Bytes, io::Error>;

    async fn respond(&self, request: hyper::Request<Incoming>) -> hyper::Response<Self::Body> {
        let peer = request.extensions().get::<PeerAddress>();
        let remote = peer.map_or_else(RemoteAddr::default, |peer| RemoteAddr(peer.0.into()));
        // Nothing here asks for it.
        let local = LocalAddr::default();
        self.0.get_response((request, local, remote, Scheme::HTTP).into()).await.into()
    }
}

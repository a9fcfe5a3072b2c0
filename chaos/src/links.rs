//! The connections between programs and servers: each goes through a proxy of its own.

use anyhow::Context as _;
use pipeline_tests::proxy::{Faults, Proxy};

/// A connection that faults can happen to.
#[derive(Debug)]
pub(crate) struct Link {
    /// What the plan calls it, as in `relay-1 to rabbitmq-2`.
    pub(crate) name: String,
    proxy: Proxy,
}

impl Link {
    /// A proxy between `from` and the server that is named `to`, and the URL through it.
    pub(crate) fn before(from: &str, to: &str, url: &str) -> anyhow::Result<(Self, String)> {
        let (proxy, url) = Proxy::before(url)?;
        Ok((Self { name: format!("{from} to {to}"), proxy }, url))
    }

    /// The same for a server without a password, as `127.0.0.1:port`.
    pub(crate) fn before_address(
        from: &str,
        to: &str,
        address: &str,
    ) -> anyhow::Result<(Self, String)> {
        let (link, url) = Self::before(from, to, &format!("@{address}/"))?;
        let address = url.strip_prefix('@').and_then(|url| url.strip_suffix('/'));
        Ok((link, address.context("the proxy keeps the rest")?.to_owned()))
    }

    /// Resets its connections.
    pub(crate) fn reset(&self) {
        self.proxy.reset();
    }

    /// Sets the faults of both directions.
    pub(crate) fn set(&self, faults: Faults) {
        self.proxy.to_server(faults);
        self.proxy.to_client(faults);
    }

    /// Sets the faults of what the server sends.
    pub(crate) fn set_answers(&self, faults: Faults) {
        self.proxy.to_client(faults);
    }

    /// Forwards again. Connections that were held lose no byte.
    pub(crate) fn heal(&self) {
        self.set(Faults::default());
    }
}

//! The connections between programs and servers: each goes through a proxy of its own.

use anyhow::Context as _;
use pipeline_tests::proxy::{Faults, Proxy};

/// The connections of a program to one server, which faults can happen to.
#[derive(Debug)]
pub(crate) struct Link {
    /// The program.
    pub(crate) from: String,
    /// The database, broker or program that the server belongs to.
    to: String,
    proxy: Proxy,
}

impl Link {
    /// A proxy between `from` and a server of `to`, and the URL through it.
    pub(crate) fn before(from: &str, to: &str, url: &str) -> anyhow::Result<(Self, String)> {
        let (proxy, url) = Proxy::before(url)?;
        Ok((Self { from: from.to_owned(), to: to.to_owned(), proxy }, url))
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

    /// The name in a plan, such as `relay-1 to rabbitmq`. A program's links to all servers of one
    /// database or broker share it.
    pub(crate) fn name(&self) -> String {
        format!("{} to {}", self.from, self.to)
    }

    /// How many bytes it has forwarded.
    pub(crate) fn forwarded(&self) -> u64 {
        self.proxy.forwarded()
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

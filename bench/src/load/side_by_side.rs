//! Connections at work at the same time.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Context as _;

use super::connection::Connection;
use super::tally::Tally;

/// Opens so many connections to `address` and lets `drive` send on each, with a thread of its own, from the same moment on.
/// Returns what all came to; `customers` are those that may order.
pub(super) fn side_by_side(
    address: SocketAddr,
    connections: usize,
    customers: usize,
    drive: impl Fn(Connection, Instant) -> anyhow::Result<Tally> + Sync,
) -> anyhow::Result<Tally> {
    let connections: Result<Vec<_>, _> =
        (0..connections).map(|_| Connection::open(address)).collect();
    let connections = connections.context("cannot connect to the service")?;
    let (begun, drive) = (Instant::now(), &drive);
    let mut all = Tally::new(customers, begun)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = connections
            .into_iter()
            .map(|connection| scope.spawn(move || drive(connection, begun)))
            .collect();
        for thread in threads {
            all.merge(&thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??)?;
        }
        Ok(all)
    })
}

//! A closed loop: each connection sends its next request when the answer to the last has come.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::gate::Gate;
use super::request::Requests;
use super::side_by_side::side_by_side;
use super::tally::Tally;

/// As many requests as so many connections can carry.
#[derive(Debug, Clone)]
pub(crate) struct Closed {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    /// What orders wait for before they are sent.
    pub(crate) gate: Option<Arc<Gate>>,
}

impl Closed {
    /// Sends until the time is over.
    pub(crate) async fn run(&self, requests: &Requests) -> anyhow::Result<Tally> {
        let (closed, requests) = (self.clone(), requests.clone());
        tokio::task::spawn_blocking(move || closed.send(&requests)).await?
    }

    fn send(&self, requests: &Requests) -> anyhow::Result<Tally> {
        let next = AtomicUsize::new(0);
        let mut all = side_by_side(
            self.address,
            self.connections,
            requests.customers(),
            |connection, begun| self.drive(connection, requests, &next, begun),
        )?;
        all.seconds = self.measured.as_secs_f64();
        Ok(all)
    }

    fn drive(
        &self,
        mut connection: Connection,
        requests: &Requests,
        next: &AtomicUsize,
        begun: Instant,
    ) -> anyhow::Result<Tally> {
        let warm = begun + self.warm_up;
        let end = warm + self.measured;
        let mut tally = Tally::new(requests.customers(), begun)?;
        let mut request = Vec::new();
        loop {
            if let Some(gate) = &self.gate {
                gate.pass(end);
            }
            let sent = Instant::now();
            if sent >= end {
                return Ok(tally);
            }
            let number = next.fetch_add(1, Ordering::Relaxed);
            requests.write(number, &mut request)?;
            match connection.exchange(&request) {
                Ok((status, _)) if status == requests.success() => {
                    let now = Instant::now();
                    // What is answered within the time counts, whenever it was sent.
                    let latency = (warm..end).contains(&now).then(|| now - sent);
                    tally.success(requests.customer(number), latency, now);
                    if let Some(gate) = &self.gate {
                        gate.accept();
                    }
                }
                Ok((status, _)) => tally.error(&status.to_string()),
                Err(error) => {
                    tally.error(&format!("connection: {error}"));
                    connection = Connection::open(self.address)?;
                }
            }
        }
    }
}

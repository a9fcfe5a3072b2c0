//! An open loop: each request has its time, whatever became of those before it, and its latency counts from that time. So a
//! service that stalls is charged with everything that would have come meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::connection::Connection;
use super::gate::Gate;
use super::request::Requests;
use super::side_by_side::side_by_side;
use super::tally::Tally;

/// Requests at a fixed rate.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) address: SocketAddr,
    /// A second.
    pub(crate) rate: f64,
    /// Connections among which they are shared; a request whose time has come while all are busy waits for one.
    pub(crate) connections: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    /// Counts the orders that were accepted; it holds none back.
    pub(crate) gate: Option<Arc<Gate>>,
    /// Told of each accepted order: the customer's number from 0, and when the answer came.
    pub(crate) heard: Option<Sender<(usize, Instant)>>,
}

impl Open {
    /// Sends until the time is over and all answers have come.
    pub(crate) async fn run(&self, requests: &Requests) -> anyhow::Result<Tally> {
        let (open, requests) = (self.clone(), requests.clone());
        tokio::task::spawn_blocking(move || open.send(&requests)).await?
    }

    fn send(&self, requests: &Requests) -> anyhow::Result<Tally> {
        ensure!(self.rate > 0.0, "there is nothing to send");
        let next = AtomicUsize::new(0);
        let heard = self.heard.as_ref();
        let mut all = side_by_side(
            self.address,
            self.connections,
            requests.customers(),
            |connection, begun| self.drive(connection, requests, &next, begun, heard),
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
        heard: Option<&Sender<(usize, Instant)>>,
    ) -> anyhow::Result<Tally> {
        let warm = begun + self.warm_up;
        let end = warm + self.measured;
        let mut tally = Tally::new(requests.customers(), begun)?;
        let mut request = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let due = begun + Duration::from_secs_f64(number as f64 / self.rate);
            if due >= end {
                return Ok(tally);
            }
            requests.write(number, &mut request)?;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            match connection.exchange(&request) {
                Ok((status, _)) if status == requests.success() => {
                    let now = Instant::now();
                    let customer = requests.customer(number);
                    tally.success(customer, (due >= warm).then(|| now - due), now);
                    if let Some(gate) = &self.gate {
                        gate.accept();
                    }
                    if let (Some(heard), Some(customer)) = (heard, customer) {
                        heard.send((customer, now)).context("nobody listens any more")?;
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

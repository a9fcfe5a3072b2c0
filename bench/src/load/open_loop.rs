//! An open loop: each request has its time, whatever became of those before it, and its latency
//! counts from that time. So a service that stalls is charged with everything that would have come
//! meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::backlog_limit::BacklogLimit;
use super::connections::{Connections, Next, Success};
use super::load_result::LoadResult;
use super::request::Requests;

/// Requests at a fixed rate.
#[derive(Debug, Clone)]
pub(crate) struct OpenLoop {
    pub(crate) address: SocketAddr,
    /// A second.
    pub(crate) rate: f64,
    /// Connections among which they are shared; a request whose time has come while all are busy
    /// waits for one.
    pub(crate) connections: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    /// Counts the orders that were accepted; it holds none back.
    pub(crate) backlog_limit: Option<Arc<BacklogLimit>>,
    /// Told of each accepted order: the customer's number from 0, and when the answer came.
    pub(crate) heard: Option<Sender<(usize, Instant)>>,
}

impl OpenLoop {
    /// Sends until the time is over and all answers have come.
    pub(crate) async fn run(&self, requests: &Requests) -> anyhow::Result<LoadResult> {
        let (open, requests) = (self.clone(), requests.clone());
        tokio::task::spawn_blocking(move || open.send(&requests)).await?
    }

    fn send(&self, requests: &Requests) -> anyhow::Result<LoadResult> {
        ensure!(self.rate > 0.0, "there is nothing to send");
        let connections = Connections::open(self.address, self.connections)?;
        let begun = Instant::now();
        let warm = begun + self.warm_up;
        let end = warm + self.measured;
        let mut tally = LoadResult::new(requests.customers(), begun)?;
        let mut sent = 0_u64;
        let next = |now| {
            let due = begun + Duration::from_secs_f64(sent as f64 / self.rate);
            if due >= end {
                return Next::Never;
            }
            if due > now {
                return Next::At(due);
            }
            sent += 1;
            Next::Now { since: due }
        };
        connections.run(requests, &mut tally, next, |tally, success| {
            let Success { number, since: due, now } = success;
            let customer = requests.customer(number);
            tally.success(customer, (due >= warm).then(|| now - due), now);
            if let Some(backlog_limit) = &self.backlog_limit {
                backlog_limit.accept();
            }
            if let (Some(heard), Some(customer)) = (&self.heard, customer) {
                heard.send((customer, now)).context("nobody listens any more")?;
            }
            Ok(())
        })?;
        tally.seconds = self.measured.as_secs_f64();
        Ok(tally)
    }
}

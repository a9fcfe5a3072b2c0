//! An open loop: each request has a due time, whatever became of earlier ones, and its latency is
//! measured from that time. So a stalled service is charged with all requests that were due
//! meanwhile (no coordinated omission).

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
    /// Requests per second.
    pub(crate) rate: f64,
    /// The connections that share them; a request that is due while all are busy waits for one.
    pub(crate) connections: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    /// Counts the accepted orders, without limiting them.
    pub(crate) backlog_limit: Option<Arc<BacklogLimit>>,
    /// Receives each accepted order: the customer's number from 0, and the time of the response.
    pub(crate) heard: Option<Sender<(usize, Instant)>>,
}

impl OpenLoop {
    /// Sends requests until the time is up and all are answered.
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

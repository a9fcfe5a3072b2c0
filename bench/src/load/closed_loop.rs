//! A closed loop: each connection sends its next request once the last one was answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backlog_limit::BacklogLimit;
use super::connections::{Connections, Next, Success};
use super::load_result::LoadResult;
use super::request::Requests;

/// The interval at which a connection checks the backlog limit again.
const CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// As many requests as this number of connections can carry.
#[derive(Debug, Clone)]
pub(crate) struct ClosedLoop {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    /// Limits the backlog of orders.
    pub(crate) backlog_limit: Option<Arc<BacklogLimit>>,
}

impl ClosedLoop {
    /// Sends requests until the time is up.
    pub(crate) async fn run(&self, requests: &Requests) -> anyhow::Result<LoadResult> {
        let (closed, requests) = (self.clone(), requests.clone());
        tokio::task::spawn_blocking(move || closed.send(&requests)).await?
    }

    fn send(&self, requests: &Requests) -> anyhow::Result<LoadResult> {
        let connections = Connections::open(self.address, self.connections)?;
        let begun = Instant::now();
        let warm = begun + self.warm_up;
        let end = warm + self.measured;
        let mut tally = LoadResult::new(requests.customers(), begun)?;
        let backlog_limit = self.backlog_limit.as_deref();
        let next = |now| match backlog_limit {
            _ if now >= end => Next::Never,
            Some(backlog_limit) if !backlog_limit.has_room() => Next::At(now + CHECK_INTERVAL),
            _ => Next::Now { since: now },
        };
        connections.run(requests, &mut tally, next, |tally, success| {
            let Success { number, since, now } = success;
            // A request counts if it is answered within the time, whenever it was sent.
            let latency = (warm..end).contains(&now).then(|| now - since);
            tally.success(requests.customer(number), latency, now);
            if let Some(backlog_limit) = backlog_limit {
                backlog_limit.accept();
            }
            Ok(())
        })?;
        tally.seconds = self.measured.as_secs_f64();
        Ok(tally)
    }
}

//! Measures how many dead letters wait, in the queue and in the table, and how many people settle,
//! for the metrics.

use std::convert::Infallible;
use std::time::Duration;

use service_kit::postgres::{Session, connect, reason};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::depth::DepthProbe;
use super::metrics::QueueMetrics;
use super::queries;
use crate::config::CollectorConfig;

/// The pause between two measurements.
const INTERVAL: Duration = Duration::from_secs(5);

/// Updates the metrics of the queue and the table until `stop`, over connections of its own. A
/// metric that can't be measured keeps its last value.
pub(super) async fn run(config: &CollectorConfig, stop: &CancellationToken) {
    let mut depth = DepthProbe::new(config);
    let never = stop.run_until_cancelled(watch(config, &mut depth)).await;
    depth.close().await;
    if let Some(never) = never {
        match never {}
    }
}

async fn watch(config: &CollectorConfig, depth: &mut DepthProbe) -> Infallible {
    let metrics = QueueMetrics::of(&config.collect.queue);
    let mut table = TableMeter { config, metrics: &metrics, session: None, counted_until: None };
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        tokio::join!(measure_queue(depth, &metrics), table.measure());
    }
}

async fn measure_queue(depth: &mut DepthProbe, metrics: &QueueMetrics) {
    match depth.measure().await {
        Ok(messages) => metrics.queued(messages),
        Err(reason) => tracing::debug!(reason, "can't measure the depth of the queue"),
    }
}

/// Measures the rows of the queue.
struct TableMeter<'a> {
    config: &'a CollectorConfig,
    metrics: &'a QueueMetrics,
    session: Option<Session>,
    /// The time up to which settled rows are counted.
    counted_until: Option<String>,
}

impl TableMeter<'_> {
    async fn measure(&mut self) {
        let limit = self.config.collect.statement_timeout;
        match timeout(limit, self.ask()).await {
            Ok(Ok(())) => (),
            Ok(Err(reason)) => tracing::debug!(reason, "can't measure the dead letters"),
            Err(_) => tracing::debug!("the dead letters take longer than {limit:?} to count"),
        }
    }

    /// Keeps the session only after an answer: else it may be in the middle of a statement.
    async fn ask(&mut self) -> Result<(), String> {
        let session = match self.session.take() {
            Some(session) if !session.client.is_closed() => session,
            _ => connect(self.config.database.url(), "outbox-relay dead-letters metrics")
                .await
                .map_err(|error| format!("{error:#}"))?,
        };
        let queue = &self.config.collect.queue;
        let measured = queries::measure(&session.client, queue).await;
        let (open, oldest) = measured.map_err(|error| reason(&error))?;
        self.metrics.open(open, oldest);
        let since = self.counted_until.as_deref();
        let settled = queries::count_settled(&session.client, queue, since).await;
        let settled = settled.map_err(|error| reason(&error))?;
        self.metrics.settled("returned", settled.returned.unsigned_abs());
        self.metrics.settled("discarded", settled.discarded.unsigned_abs());
        self.counted_until = Some(settled.until);
        self.session = Some(session);
        Ok(())
    }
}

//! Measures how many dead letters wait, in the queue and in the table, for the metrics.

use std::convert::Infallible;
use std::time::Duration;

use service_kit::postgres::{Session, connect, reason};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::depth::DepthProbe;
use super::{metrics, queries};
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
    let mut kept = None;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        tokio::join!(measure_queue(depth), measure_table(config, &mut kept));
    }
}

async fn measure_queue(depth: &mut DepthProbe) {
    match depth.measure().await {
        Ok(messages) => metrics::queued(messages),
        Err(reason) => tracing::debug!(reason, "can't measure the depth of the queue"),
    }
}

async fn measure_table(config: &CollectorConfig, kept: &mut Option<Session>) {
    let limit = config.collect.statement_timeout;
    match timeout(limit, measure(config, kept)).await {
        Ok(Ok(())) => (),
        Ok(Err(reason)) => tracing::debug!(reason, "can't measure the open dead letters"),
        Err(_) => {
            // The session may be in the middle of a statement.
            *kept = None;
            tracing::debug!("the open dead letters take longer than {limit:?} to count");
        }
    }
}

async fn measure(config: &CollectorConfig, kept: &mut Option<Session>) -> Result<(), String> {
    let session = match kept.take() {
        Some(session) if !session.client.is_closed() => session,
        _ => connect(config.database.url(), "outbox-relay dead-letters metrics")
            .await
            .map_err(|error| format!("{error:#}"))?,
    };
    let measured = queries::measure(&session.client, &config.collect.queue).await;
    let (open, oldest) = measured.map_err(|error| reason(&error))?;
    metrics::open(open, oldest);
    *kept = Some(session);
    Ok(())
}

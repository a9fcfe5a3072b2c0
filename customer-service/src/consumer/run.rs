//! The loop over sessions: connects, runs a session, and reconnects after an interruption.

use std::convert::Infallible;
use std::time::Duration;

use service_kit::backoff::Backoff;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::acknowledge::HOLD_TIME;
use super::batch::Interruption;
use super::broker::Broker;
use super::config::ConsumerConfig;
use super::dead_letters;
use super::metrics;
use super::reconnect::{Dependencies, MOVES, open_counter, subscribe};
use super::redirect::OnUnroutable;
use super::retry_ttl::enforce_retry_ttl;
use super::session::run_session;

/// A session that lasted this long resets the reconnect backoff.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Counts events until `shutdown`. No channel is open while the database is down, so that no
/// message is received and no retry is charged.
pub(super) async fn run_sessions(
    config: &ConsumerConfig,
    dependencies: &Dependencies,
    shutdown: &CancellationToken,
) {
    let mut broker = Broker::new(config.broker.url(), "customer-service consumer");
    let mut pause = Backoff::reconnect();
    let mut deviations = Vec::new();
    let mut assumed_bindings = None;
    let mut topology_missing_since: Option<Instant> = None;
    loop {
        let Some(mut counter) = open_counter(config, dependencies, shutdown).await else {
            break;
        };
        let opened = subscribe(config, &mut broker, dependencies, shutdown).await;
        let Some((mut subscription, mut acknowledger)) = opened else {
            break;
        };

        if deviations != subscription.deviations {
            deviations.clone_from(&subscription.deviations);
            for deviation in &deviations {
                tracing::warn!("topology deviates: {deviation}");
            }
        }
        if assumed_bindings != subscription.assumed_bindings {
            assumed_bindings.clone_from(&subscription.assumed_bindings);
            if let Some(bindings) = &assumed_bindings {
                tracing::info!("bindings can't be verified and are assumed to exist: {bindings}");
            }
        }
        let may_redeclare = config.subscription.consumer_declare
            && topology_missing_since.is_none_or(|since| since.elapsed() >= HOLD_TIME);
        acknowledger.on_unroutable =
            if may_redeclare { OnUnroutable::Redeclare } else { OnUnroutable::Refuse };
        dependencies.set_note(MOVES, None);
        metrics::topology_deviations(deviations.len());
        let note = (!deviations.is_empty()).then(|| deviations.join("; "));
        dependencies.set_note("topology", note);
        let is_retry_queue_usable = subscription.is_retry_queue_usable;
        let started = Instant::now();
        let end = tokio::select! {
            biased;
            end = run_session(config, dependencies, &mut counter, &mut subscription, &mut acknowledger, shutdown) => end,
            never = run_background_tasks(&broker, config.subscription.rabbitmq_retry_ttl_ms, is_retry_queue_usable) => match never {},
        };
        acknowledger.close().await;
        match end {
            Ok(()) => break,
            Err(Interruption::Database(reason)) => dependencies.database.down(reason),
            Err(Interruption::Broker(reason)) => dependencies.broker.down(reason),
            Err(Interruption::MissingTopology(reason)) => {
                topology_missing_since = Some(Instant::now());
                dependencies.broker.down(reason);
            }
        }
        // The next session starts with a fresh connection.
        broker.close().await;
        if started.elapsed() > STABLE_AFTER {
            pause.reset();
        }
        shutdown.run_until_cancelled(tokio::time::sleep(pause.next_delay())).await;
    }
    broker.close().await;
}

/// Watches the dead-letter queue and, if the retry queue can be used, the retry queue, until it is
/// dropped.
async fn run_background_tasks(
    broker: &Broker,
    ttl_ms: u32,
    is_retry_queue_usable: bool,
) -> Infallible {
    tokio::select! {
        never = dead_letters::watch(broker) => never,
        never = enforce_retry_ttl(broker, ttl_ms), if is_retry_queue_usable => never,
    }
}

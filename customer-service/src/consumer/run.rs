//! The loop: connect to the database and the queue, finish batch after batch, and reconnect after
//! an interruption.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use service_kit::backoff::Backoff;
use service_kit::health::{Dependency, Health};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::acknowledge::{Acknowledger, HOLD_TIME};
use super::batch::{Batch, Interruption};
use super::broker::Broker;
use super::config::ConsumerConfig;
use super::counter::Counter;
use super::dead_letters;
use super::metrics;
use super::redirect::OnUnroutable;
use super::retry_ttl::enforce_retry_ttl;
use super::subscription::Subscription;

/// A session that lasted this long resets the reconnect backoff.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// How often the database is probed while no messages arrive.
const IDLE_PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// The part of the grace time that is reserved for closing connections after the last batch.
const CLOSE_RESERVE: Duration = Duration::from_secs(2);

/// The dependencies whose state `/readyz` shows.
pub(super) struct Dependencies {
    pub(super) database: Dependency,
    pub(super) broker: Dependency,
    pub(super) health: Health,
}

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
        set_note(&dependencies.health, "moves", None);
        metrics::topology_deviations(deviations.len());
        set_note(
            &dependencies.health,
            "topology",
            (!deviations.is_empty()).then(|| deviations.join("; ")),
        );
        let is_retry_queue_usable = subscription.is_retry_queue_usable;
        let started = Instant::now();
        let end = tokio::select! {
            biased;
            end = run_session(config, &dependencies.health, &mut counter, &mut subscription, &mut acknowledger, shutdown) => end,
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
        if !sleep_unless_cancelled(pause.next_delay(), shutdown).await {
            break;
        }
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

/// Finishes batch after batch, receiving the next one meanwhile. On `shutdown` the current batch is
/// finished. If the grace time expires before that, nothing of it is acknowledged.
async fn run_session(
    config: &ConsumerConfig,
    health: &Health,
    counter: &mut Counter,
    subscription: &mut Subscription,
    acknowledger: &mut Acknowledger,
    shutdown: &CancellationToken,
) -> Result<(), Interruption> {
    // The other half of the prefetch arrives meanwhile.
    let mut next = Batch::new(usize::from(config.subscription.consumer_prefetch).div_ceil(2));
    loop {
        while next.is_empty() {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = counter.closed() => {
                    return Err(Interruption::Database("the database closed the connection".to_owned()));
                }
                received = subscription.receive_into(&mut next) => received.map_err(Interruption::Broker)?,
                () = tokio::time::sleep(IDLE_PROBE_INTERVAL) => {
                    counter.probe().await.map_err(Interruption::Database)?;
                    acknowledger.return_held().await?;
                }
            }
        }
        let batch = next.take();
        let finishing =
            batch.finish(counter, acknowledger, config.subscription.rabbitmq_max_retries);
        tokio::select! {
            finished = finish_while_receiving(finishing, subscription, &mut next) => finished?,
            () = grace_expired(config.process.shutdown_grace, shutdown) => {
                tracing::warn!(
                    messages = batch.len(),
                    "grace time expired before the batch was finished: its messages return to the queue"
                );
                return Ok(());
            }
        }
        set_note(health, "moves", acknowledger.refusal_summary());
        if shutdown.is_cancelled() {
            return Ok(());
        }
    }
}

fn set_note(health: &Health, name: &'static str, text: Option<String>) {
    match text {
        Some(text) => health.note(name, text),
        None => health.forget_note(name),
    }
}

/// Awaits `finishing` and receives messages into `next` meanwhile. When the channel is lost, the
/// current batch is finished nevertheless.
async fn finish_while_receiving(
    finishing: impl Future<Output = Result<(), Interruption>>,
    subscription: &mut Subscription,
    next: &mut Batch,
) -> Result<(), Interruption> {
    let mut finishing = pin!(finishing);
    let mut lost = None;
    loop {
        tokio::select! {
            biased;
            finished = &mut finishing => {
                finished?;
                return lost.map_or(Ok(()), |reason| Err(Interruption::Broker(reason)));
            }
            received = subscription.receive_into(next), if lost.is_none() && !next.is_full() => {
                lost = received.err();
            }
        }
    }
}

/// Completes when the current batch must be given up, so that there is time left to close the
/// connections.
async fn grace_expired(grace: Duration, shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(grace.saturating_sub(CLOSE_RESERVE)).await;
}

/// Connects to the database, for as long as it takes. Returns `None` on shutdown.
async fn open_counter(
    config: &ConsumerConfig,
    dependencies: &Dependencies,
    shutdown: &CancellationToken,
) -> Option<Counter> {
    let mut backoff = Backoff::reconnect();
    loop {
        let opening = Counter::open(config.database.url(), config.database_statement_timeout);
        match try_open(opening, &dependencies.database, &mut backoff, shutdown).await {
            ControlFlow::Break(end) => return end,
            ControlFlow::Continue(()) => (),
        }
    }
}

/// Subscribes to the work queue, for as long as it takes. Returns `None` on shutdown.
async fn subscribe(
    config: &ConsumerConfig,
    broker: &mut Broker,
    dependencies: &Dependencies,
    shutdown: &CancellationToken,
) -> Option<(Subscription, Acknowledger)> {
    let mut backoff = Backoff::reconnect();
    loop {
        let opening = Subscription::open(broker, &config.subscription);
        match try_open(opening, &dependencies.broker, &mut backoff, shutdown).await {
            ControlFlow::Break(end) => return end,
            ControlFlow::Continue(()) => (),
        }
    }
}

/// Awaits `opening`, then the backoff if that failed. Breaks with what was opened, or with `None`
/// on shutdown.
async fn try_open<T>(
    opening: impl Future<Output = Result<T, String>>,
    dependency: &Dependency,
    backoff: &mut Backoff,
    shutdown: &CancellationToken,
) -> ControlFlow<Option<T>> {
    let opened = tokio::select! {
        () = shutdown.cancelled() => return ControlFlow::Break(None),
        opened = opening => opened,
    };
    match opened {
        Ok(opened) => {
            dependency.up();
            return ControlFlow::Break(Some(opened));
        }
        Err(reason) => dependency.down(reason),
    }
    if sleep_unless_cancelled(backoff.next_delay(), shutdown).await {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(None)
    }
}

/// Returns false on shutdown.
async fn sleep_unless_cancelled(pause: Duration, shutdown: &CancellationToken) -> bool {
    tokio::select! {
        () = shutdown.cancelled() => false,
        () = tokio::time::sleep(pause) => true,
    }
}

//! Collecting until told to stop: session after session, with a pause after each interruption.

use std::time::Duration;

use service_kit::backoff::Backoff;
use service_kit::health::{Dependency, Health, Need};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::depth::DepthProbe;
use super::message::{DeadLetter, Reading};
use super::session::{CollectorSession, Interruption, Until};
use super::store::Store;
use super::subscription::{SubscribeError, Subscription};
use crate::config::CollectorConfig;

/// A session that lasted this long resets the backoff.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// How often a standby collector tries to take over.
const STANDBY_INTERVAL: Duration = Duration::from_secs(2);

/// The note at `/readyz` of a standby collector.
const STANDBY: &str = "standby";

/// The dependencies whose state `/readyz` shows.
pub(super) struct Dependencies {
    database: Dependency,
    broker: Dependency,
    health: Health,
}

impl Dependencies {
    pub(super) fn new(health: &Health) -> Self {
        Self {
            database: health.dependency("postgresql", Need::Required),
            broker: health.dependency("rabbitmq", Need::Required),
            health: health.clone(),
        }
    }
}

/// Collects until `stop`. No message is received while the database can't store any: those that
/// were received return to the queue once, and wait there.
pub(super) async fn run(
    config: &CollectorConfig,
    dependencies: &Dependencies,
    stop: &CancellationToken,
) {
    let reading = Reading::new(&config.collect, config.broker.url().virtual_host());
    let mut pause = Backoff::reconnect();
    let mut unstored: Vec<DeadLetter> = Vec::new();
    while !stop.is_cancelled() {
        let started = Instant::now();
        let opening = open(config, dependencies, &reading, &unstored);
        let ended = match stop.run_until_cancelled(opening).await {
            None => break,
            Some(Ok(mut session)) => {
                dependencies.database.up();
                dependencies.broker.up();
                dependencies.health.forget_note(STANDBY);
                let ended = session.run(Until::Stopped, stop, &dependencies.health).await;
                unstored = session.take_unstored();
                session.close().await;
                ended
            }
            Some(Err(Unopened::Standby(reason))) => {
                dependencies.broker.up();
                dependencies.health.note(STANDBY, reason);
                stop.run_until_cancelled(sleep(STANDBY_INTERVAL)).await;
                continue;
            }
            Some(Err(Unopened::Interrupted(interruption))) => Err(interruption),
        };
        match ended {
            Ok(()) => break,
            Err(Interruption::Database(reason)) => dependencies.database.down(reason),
            Err(Interruption::Broker(reason)) => dependencies.broker.down(reason),
        }
        if started.elapsed() > STABLE_AFTER {
            pause.reset();
        }
        stop.run_until_cancelled(sleep(pause.next_delay())).await;
    }
}

/// Why a session could not begin.
pub(super) enum Unopened {
    /// Another collector is at work.
    Standby(String),
    Interrupted(Interruption),
}

/// Begins a session: first with the database, so that no message is received before it can be
/// stored. `unstored` are messages that could not be stored before: storing them is tried first,
/// and rolled back.
pub(super) async fn open<'a>(
    config: &CollectorConfig,
    dependencies: &Dependencies,
    reading: &'a Reading,
    unstored: &[DeadLetter],
) -> Result<CollectorSession<'a>, Unopened> {
    let database = |reason| Unopened::Interrupted(Interruption::Database(reason));
    let broker = |reason| Unopened::Interrupted(Interruption::Broker(reason));
    let (url, args) = (config.database.url(), &config.collect);
    let connecting = Store::connect(url, &args.queue, args.statement_timeout);
    let mut store = connecting.await.map_err(database)?;
    store.rehearse_all(unstored).await.map_err(database)?;
    dependencies.database.up();
    let locking = Subscription::lock(config.broker.url(), &args.queue);
    let subscription = locking.await.map_err(|error| match error {
        SubscribeError::Taken(reason) => Unopened::Standby(reason),
        SubscribeError::Unavailable(reason) => broker(reason),
    })?;
    let mut depth = DepthProbe::new(config);
    let beginning = async {
        if !store.lock_queue().await.map_err(database)? {
            return Err(Unopened::Standby(format!(
                "another collector collects a queue {} of another broker or virtual host into the same tables: give it tables of its own",
                args.queue
            )));
        }
        // Before consuming: if this fails, no message has been delivered that would be requeued.
        let waiting = depth.measure().await.map_err(broker)?;
        store.begin().await.map_err(database)?;
        subscription.consume(args.prefetch).await.map_err(broker)?;
        Ok(waiting)
    };
    match beginning.await {
        Ok(waiting) => {
            Ok(CollectorSession::new(store, subscription, depth, reading, args.prefetch, waiting))
        }
        Err(unopened) => {
            store.end().await;
            depth.close().await;
            subscription.close().await;
            Err(unopened)
        }
    }
}

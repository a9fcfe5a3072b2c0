//! Connects to the database and subscribes to the work queue, again and again until both succeed.

use service_kit::backoff::Backoff;
use service_kit::health::{Dependency, Health};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::acknowledge::Acknowledger;
use super::broker::Broker;
use super::config::ConsumerConfig;
use super::counter::Counter;
use super::subscription::Subscription;

/// The dependencies whose state `/readyz` shows.
pub(super) struct Dependencies {
    pub(super) database: Dependency,
    pub(super) broker: Dependency,
    pub(super) health: Health,
}

/// The note that says why messages can't be moved to the retry or the dead-letter queue.
pub(super) const MOVES: &str = "moves";

impl Dependencies {
    /// Shows a note at `/readyz`, or removes it.
    pub(super) fn set_note(&self, name: &'static str, text: Option<String>) {
        match text {
            Some(text) => self.health.note(name, text),
            None => self.health.forget_note(name),
        }
    }
}

/// Connects to the database, for as long as it takes. Returns `None` on shutdown.
pub(super) async fn open_counter(
    config: &ConsumerConfig,
    dependencies: &Dependencies,
    shutdown: &CancellationToken,
) -> Option<Counter> {
    let mut backoff = Backoff::reconnect();
    loop {
        let opening = Counter::open(config.database.url(), config.database_statement_timeout);
        let opened = shutdown.run_until_cancelled(opening).await?;
        if let Some(counter) = report(opened, &dependencies.database) {
            return Some(counter);
        }
        shutdown.run_until_cancelled(sleep(backoff.next_delay())).await?;
    }
}

/// Subscribes to the work queue, for as long as it takes. Returns `None` on shutdown.
pub(super) async fn subscribe(
    config: &ConsumerConfig,
    broker: &mut Broker,
    dependencies: &Dependencies,
    shutdown: &CancellationToken,
) -> Option<(Subscription, Acknowledger)> {
    let mut backoff = Backoff::reconnect();
    loop {
        let opening = Subscription::open(broker, &config.subscription);
        let opened = shutdown.run_until_cancelled(opening).await?;
        if let Some(subscribed) = report(opened, &dependencies.broker) {
            return Some(subscribed);
        }
        shutdown.run_until_cancelled(sleep(backoff.next_delay())).await?;
    }
}

/// Reports whether a dependency is up. Returns what was opened.
fn report<T>(opened: Result<T, String>, dependency: &Dependency) -> Option<T> {
    match opened {
        Ok(opened) => {
            dependency.up();
            Some(opened)
        }
        Err(reason) => {
            dependency.down(reason);
            None
        }
    }
}

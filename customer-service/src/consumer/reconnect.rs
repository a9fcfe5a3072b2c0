//! Connects to the database and subscribes to the work queue, again and again until both succeed.

use std::ops::ControlFlow;
use std::time::Duration;

use service_kit::backoff::Backoff;
use service_kit::health::{Dependency, Health};
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
        match try_open(opening, &dependencies.database, &mut backoff, shutdown).await {
            ControlFlow::Break(end) => return end,
            ControlFlow::Continue(()) => (),
        }
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
pub(super) async fn sleep_unless_cancelled(pause: Duration, shutdown: &CancellationToken) -> bool {
    tokio::select! {
        () = shutdown.cancelled() => false,
        () = tokio::time::sleep(pause) => true,
    }
}

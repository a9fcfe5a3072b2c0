//! The desk for dead letters: messages that a consumer could not process.

use serde::Serialize;
use service_kit::health::Health;
use service_kit::ops;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::CollectorConfig;

/// What a collector has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Collected {
    /// New rows.
    pub(crate) stored: u64,
    /// Messages that had a row already.
    pub(crate) known: u64,
    /// Messages that the database refuses, and why.
    pub(crate) refused: Vec<String>,
}

/// Collects what is in the queue at the start.
pub(crate) async fn collect_once(
    config: &CollectorConfig,
    _stop: &CancellationToken,
) -> anyhow::Result<Collected> {
    anyhow::bail!("{} can't be collected yet", config.collect.queue)
}

/// Collects until `shutdown`, and serves the operations port.
pub(crate) async fn follow(
    config: CollectorConfig,
    ops_listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let health = Health::default();
    let ops_stop = CancellationToken::new();
    tokio::try_join!(ops::serve(ops_listener, health, shutdown.clone(), ops_stop.clone()), async {
        collect_once(&config, &shutdown).await.map(drop)
    })
    .map(drop)
}

//! What is pending in the outbox.

use std::time::Duration;

use anyhow::Context as _;
use pipeline_tests::pipeline::connect;
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::topology::Topology;

const ANSWER: Duration = Duration::from_secs(30);

/// The row id of the latest event.
pub(crate) async fn latest(topology: &Topology) -> anyhow::Result<i64> {
    let session = session(topology).await?;
    let latest = "SELECT coalesce(max(id), 0) FROM outbox";
    Ok(session.query_one(latest, &[]).await?.get(0))
}

/// How many events up to a row id are pending.
pub(crate) async fn pending(topology: &Topology, up_to: i64) -> anyhow::Result<i64> {
    let session = session(topology).await?;
    let pending = "SELECT count(*) FROM outbox WHERE published_at IS NULL AND id <= $1";
    Ok(session.query_one(pending, &[&up_to]).await?.get(0))
}

/// The server answers, or will soon: no fault is in.
async fn session(topology: &Topology) -> anyhow::Result<Client> {
    let session = timeout(ANSWER, connect(&topology.orders.url));
    session.await.context("the order database does not answer")?
}

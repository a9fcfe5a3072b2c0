//! Services that write to the outbox by plain SQL: in savepoints, in long transactions, rolled back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pipeline_tests::pipeline::connect;
use rand::RngExt as _;
use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_postgres::Transaction;
use uuid::Uuid;

use super::{Shared, prepared, rng};
use crate::history::now;
use crate::topology::Topology;

/// How many aggregates there are.
const AGGREGATES: i64 = 40;
/// How long a transaction may take, with its servers suspended.
const PATIENCE: Duration = Duration::from_secs(150);

/// Locks the aggregate by counting in its row, and adds the event with its number.
const COUNT: &str = "
    WITH turn AS (UPDATE counters SET n = n + 1 WHERE aggregate = $1 RETURNING n)
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
    SELECT 'counter', $1, 'counter.counted', jsonb_build_object('n', n, 'transaction', $2::text) FROM turn";
const UNDONE: &str = "
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
    VALUES ('counter', $1, 'counter.counted', jsonb_build_object('undone', true))";

/// Makes the table of aggregates.
pub(super) async fn prepare(topology: &Topology) -> anyhow::Result<()> {
    let session = connect(&topology.orders.url).await?;
    let make = format!(
        "CREATE TABLE counters (aggregate text PRIMARY KEY, n bigint NOT NULL DEFAULT 0);
         INSERT INTO counters (aggregate) SELECT 'counter ' || i FROM generate_series(1, {AGGREGATES}) AS i"
    );
    Ok(session.batch_execute(&make).await?)
}

/// One transaction on one or two aggregates.
pub(super) async fn transaction(shared: Arc<Shared>, number: u64) -> anyhow::Result<()> {
    let name = Uuid::new_v4().to_string();
    let mut commit_sent = None;
    let written = timeout(PATIENCE, write(&shared.topology, number, &name, &mut commit_sent)).await;
    let outcome = match written {
        Ok(Ok(true)) => "done",
        Ok(Ok(false)) => "refused",
        // Without a commit nothing is there; with one, nobody knows.
        _ if commit_sent.is_none() => "refused",
        _ => "unknown",
    };
    if outcome != "done" && commit_sent.is_some() {
        shared.troubles.add();
    }
    shared.history.record(
        "transactions",
        &json!({ "transaction": name, "commit_sent": commit_sent, "outcome": outcome }),
    );
    Ok(())
}

/// Returns whether it was committed.
async fn write(
    topology: &Topology,
    number: u64,
    name: &str,
    commit_sent: &mut Option<u64>,
) -> anyhow::Result<bool> {
    let mut rng = rng(number);
    let mut aggregates: Vec<i64> =
        (0..rng.random_range(1..=2)).map(|_| rng.random_range(1..=AGGREGATES)).collect();
    // All writers lock in this order.
    aggregates.sort_unstable();
    aggregates.dedup();
    let stays_open =
        rng.random_bool(0.1).then(|| Duration::from_millis(rng.random_range(100..3_000)));
    let (has_savepoint, is_rolled_back) = (rng.random_bool(0.2), rng.random_bool(0.1));
    let has_two_phases = rng.random_bool(0.1);

    let mut session = connect(&topology.orders.url).await?;
    let mut transaction = session.transaction().await?;
    for aggregate in aggregates {
        let aggregate = format!("counter {aggregate}");
        if has_savepoint {
            undo(&mut transaction, &aggregate).await?;
        }
        transaction.execute(COUNT, &[&aggregate, &name]).await?;
    }
    if let Some(open) = stays_open {
        sleep(open).await;
    }
    if is_rolled_back {
        transaction.rollback().await.context("rolled back")?;
        return Ok(false);
    }
    *commit_sent = Some(now());
    if has_two_phases {
        let prepared = transaction.batch_execute(&format!("PREPARE TRANSACTION '{name}'")).await;
        drop(transaction);
        return match (prepared, prepared::commit(topology, name).await) {
            (_, Some(true)) => Ok(true),
            // It may be prepared a moment later.
            (Err(error), _) => Err(error.into()),
            (Ok(()), _) => anyhow::bail!("whether it is committed is unknown"),
        };
    }
    transaction.commit().await?;
    Ok(true)
}

/// Writes within a savepoint, and undoes it.
async fn undo(transaction: &mut Transaction<'_>, aggregate: &str) -> anyhow::Result<()> {
    let savepoint = transaction.savepoint("attempt").await?;
    savepoint.execute(UNDONE, &[&aggregate]).await?;
    Ok(savepoint.rollback().await?)
}

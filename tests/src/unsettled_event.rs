//! An event whose row can't be updated when its outcome is known, and others that can.

use tokio_postgres::Client;
use uuid::Uuid;

use crate::outbox::{Outbox, Stepped, connect, event_id, eventually};

/// The number of events in `outbox_unsettled`.
pub const NOTED: &str = "SELECT count(*) FROM outbox_unsettled";

/// Events of other aggregates.
pub const ADD_OTHERS: &str =
    "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
     SELECT 'order', 'other ' || n, 'order.created', '{}' FROM generate_series(1, 200) AS n";

/// The number of them that are pending.
pub const OTHERS_PENDING: &str =
    "SELECT count(*) FROM outbox WHERE aggregate_id LIKE 'other %' AND published_at IS NULL";

/// Adds events of other aggregates, and waits until they are published.
///
/// # Errors
/// When it takes too long, or a server does not answer.
pub async fn until_others_published(outbox: &Outbox) -> anyhow::Result<()> {
    outbox.sql.batch_execute(ADD_OTHERS).await?;
    let served = async || Ok(outbox.count(OTHERS_PENDING, &[]).await? == 0);
    eventually("the others are published and marked", served).await
}

/// An outbox with one event of the aggregate `hindered`.
///
/// # Errors
/// When it takes too long, or a server does not answer.
pub async fn outbox_with_one_event() -> anyhow::Result<Outbox> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "order.created").await?;
    outbox.add("hindered", "order.created").await?;
    Ok(outbox)
}

/// Another session with an open transaction that has run `sql`.
///
/// # Errors
/// When it takes too long, or a server does not answer.
pub async fn open_transaction(outbox: &Outbox, sql: &str) -> anyhow::Result<Client> {
    let other = connect(&outbox.database.url).await?;
    other.batch_execute(&format!("BEGIN; {sql}")).await?;
    Ok(other)
}

/// The condition for the first event's row.
pub const FIRST: &str = "id = (SELECT min(id) FROM outbox)";

/// The `event_id`s of the messages of the aggregate `hindered`, and the number of all others.
///
/// # Errors
/// When it takes too long, or a server does not answer.
pub async fn sent(outbox: &Outbox) -> anyhow::Result<(Vec<Uuid>, usize)> {
    let row = "SELECT event_id FROM outbox WHERE aggregate_id = 'hindered' ORDER BY id";
    let ids: Vec<Uuid> = outbox.sql.query(row, &[]).await?.iter().map(|row| row.get(0)).collect();
    let messages = outbox.take_all("all").await?;
    let messages = messages.iter().map(event_id).collect::<anyhow::Result<Vec<Uuid>>>()?;
    let (hindered, others): (Vec<_>, Vec<_>) =
        messages.into_iter().partition(|id| ids.contains(id));
    Ok((hindered, others.len()))
}

/// Steps until the events of other aggregates are published. The database must stay up meanwhile.
///
/// # Errors
/// When it takes too long, or a server does not answer.
pub async fn step_until_others_published(
    outbox: &Outbox,
    relay: &mut Stepped,
) -> anyhow::Result<()> {
    let health = relay.health.clone();
    relay.work_until(until_others_published(outbox)).await?;
    assert!(health.is_ready(), "{:?}", health.statuses());
    Ok(())
}

/// Steps until the first event is in `outbox_unsettled`, adds one behind it, and returns the kind
/// and the reason.
///
/// # Errors
/// When it takes too long, or a server does not answer.
pub async fn until_noted(
    outbox: &Outbox,
    relay: &mut Stepped,
) -> anyhow::Result<(String, Option<String>)> {
    relay
        .work_until(eventually("it is noted", async || Ok(outbox.count(NOTED, &[]).await? == 1)))
        .await?;
    let row = outbox.sql.query_one("SELECT kind, reason FROM outbox_unsettled", &[]).await?;
    let state = "SELECT state FROM outbox_pending ORDER BY id LIMIT 1";
    assert_eq!(outbox.sql.query_one(state, &[]).await?.get::<_, &str>(0), "unsettled");
    // Queues behind it.
    outbox.add("hindered", "order.created").await?;
    Ok((row.get(0), row.get(1)))
}

/// A trigger that runs `{}` when the first event's row is updated.
pub const GUARD: &str = "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$
     BEGIN IF new.aggregate_id = 'hindered' AND new.id = (SELECT min(id) FROM outbox) THEN {} END IF; RETURN new; END $$;
     CREATE TRIGGER guard BEFORE UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION guard()";

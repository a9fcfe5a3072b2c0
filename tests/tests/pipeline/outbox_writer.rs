//! The crate `outbox-writer`: what it writes in a transaction is published if that commits, and not
//! otherwise. The example in Rust uses it with sqlx (`examples`).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use lapin::types::AMQPValue;
use outbox_writer::{Error, Event, Transaction};
use pipeline_tests::outbox::{EXCHANGE, Outbox, connect, eventually};
use serde_json::{Value, json};
use sqlx::Connection as _;
use static_assertions::{assert_impl_all, assert_not_impl_any};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

// What is written to anything else than a transaction is published whatever becomes of the data.
assert_impl_all!(tokio_postgres::Transaction<'static>: Transaction);
assert_impl_all!(sqlx::PgTransaction<'static>: Transaction);
assert_not_impl_any!(Client: Transaction);
assert_not_impl_any!(deadpool_postgres::Pool: Transaction);
assert_not_impl_any!(deadpool_postgres::Client: Transaction);
assert_not_impl_any!(sqlx::PgPool: Transaction);
assert_not_impl_any!(sqlx::PgConnection: Transaction);
assert_not_impl_any!(sqlx::pool::PoolConnection<sqlx::Postgres>: Transaction);

/// A session of a service that may add events and nothing else.
async fn writer(outbox: &Outbox) -> anyhow::Result<Client> {
    connect(&outbox.database.url_as("outbox_writer").await?).await
}

#[tokio::test]
async fn an_event_is_published_as_it_was_written_if_its_transaction_commits() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.queue("orders", "order.*").await?;
    let mut service = writer(&outbox).await?;
    let _relay = outbox.relay_process(&[]).await?;

    let mut transaction = service.transaction().await?;
    let event = Event::new("order", 4711, "order.shipped", &json!({"note": "a 'quoted' ☂"}));
    let written = event
        .header("region", "eu")
        .header("weight", 7)
        .header("amqp-priority", 3)
        .write(&mut transaction)
        .await?;
    transaction.commit().await?;
    let mut undone = service.transaction().await?;
    Event::new("order", "4711", "order.undone", &json!({})).write(&mut undone).await?;
    undone.rollback().await?;
    // Were the one before published, it would be ahead of this one.
    let mut transaction = service.transaction().await?;
    let own_id = Uuid::new_v4();
    let last = Event::new("order", "4711", "order.closed", &json!({})).id(own_id);
    assert_eq!(last.write(&mut transaction).await?, own_id);
    transaction.commit().await?;

    outbox.all_published().await?;
    let messages = outbox.take_all("orders").await?;
    let kinds: Vec<&str> = messages.iter().map(|message| message.routing_key.as_str()).collect();
    assert_eq!(kinds, ["order.shipped", "order.closed"], "from {EXCHANGE}");
    let body: Value = serde_json::from_slice(&messages[0].data)?;
    assert_eq!(body["event_id"], json!(written));
    assert_eq!(body["data"], json!({"note": "a 'quoted' ☂"}));
    let properties = &messages[0].properties;
    assert_eq!(*properties.priority(), Some(3));
    let headers = properties.headers().clone().unwrap_or_default();
    let header = |name: &str| headers.inner().get(name).cloned();
    assert_eq!(header("region"), Some(AMQPValue::LongString("eu".into())));
    assert_eq!(header("weight"), Some(AMQPValue::LongLongInt(7)));
    assert_eq!(header("amqp-priority"), None);
    let aggregate =
        "SELECT count(*) FROM outbox WHERE aggregate_type = 'order' AND aggregate_id = '4711'";
    assert_eq!(outbox.count(aggregate, &[]).await?, 2);
    Ok(())
}

#[tokio::test]
async fn an_event_for_later_is_published_at_its_time() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("orders", "order.*").await?;
    let mut service = writer(&outbox).await?;
    let mut transaction = service.transaction().await?;
    let time = SystemTime::now() + Duration::from_secs(3600);
    for (kind, time) in [
        ("order.later", time),
        ("order.before_1970", SystemTime::UNIX_EPOCH - Duration::from_millis(1)),
    ] {
        Event::new("order", 1, kind, &()).not_before(time).write(&mut transaction).await?;
    }
    transaction.commit().await?;
    let sql = "SELECT next_attempt_at FROM outbox ORDER BY id";
    let times: Vec<SystemTime> =
        outbox.sql.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect();
    let off_by = times[0].duration_since(time).unwrap_or_else(|early| early.duration());
    assert!(off_by < Duration::from_millis(1), "{times:?} is not {time:?}");
    assert!(times[1] < SystemTime::UNIX_EPOCH);

    let _relay = outbox.relay_process(&[]).await?;
    eventually(
        "the one whose time is over is published",
        async || Ok(outbox.pending().await? == 1),
    )
    .await?;
    assert_eq!(outbox.depth("orders").await?, 1);
    Ok(())
}

#[tokio::test]
async fn what_can_not_be_written_is_an_error_and_no_event() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let mut service = writer(&outbox).await?;

    let mut transaction = service.transaction().await?;
    let keys_are_no_strings = BTreeMap::from([((1, 2), 3)]);
    let refused = Event::new("order", 1, "order.created", &keys_are_no_strings);
    let refused = refused.write(&mut transaction).await;
    assert!(matches!(refused, Err(Error::Payload(_))), "{refused:?}");
    // Nothing was sent: the transaction goes on.
    let id = Event::new("order", 1, "order.created", &1).write(&mut transaction).await?;
    transaction.commit().await?;

    for (event, code) in [
        (Event::new("order", 1, "order.created", &1).id(id), SqlState::UNIQUE_VIOLATION),
        (Event::new("order", "nul \0", "order.created", &1), SqlState::CHARACTER_NOT_IN_REPERTOIRE),
        (Event::new("order", 1, "order.created", &"nul \0"), SqlState::UNTRANSLATABLE_CHARACTER),
    ] {
        let mut transaction = service.transaction().await?;
        let Err(Error::Database(refusal)) = event.write(&mut transaction).await else {
            panic!("nothing refused {code:?}");
        };
        assert_eq!(refusal.code(), Some(&code));
    }
    assert_eq!(outbox.count("SELECT count(*) FROM outbox", &[]).await?, 1);
    Ok(())
}

#[tokio::test]
async fn sqlx_writes_the_same() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let url = outbox.database.url_as("outbox_writer").await?;
    let mut service = sqlx::PgConnection::connect(&url).await?;
    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(4_102_444_800_000_001);
    let event = Event::new("order", 1, "order.created", "a text").header("n", 1).not_before(time);

    let mut transaction = service.begin().await?;
    let id = event.write(&mut transaction).await?;
    transaction.commit().await?;
    let mut undone = service.begin().await?;
    Event::new("order", 1, "order.undone", &1).write(&mut undone).await?;
    undone.rollback().await?;
    let mut transaction = service.begin().await?;
    let Err(Error::Database(sqlx::Error::Database(refusal))) = event.write(&mut transaction).await
    else {
        panic!("nothing refused the second event of one id");
    };
    assert_eq!(refusal.code().as_deref(), Some(SqlState::UNIQUE_VIOLATION.code()));
    drop(transaction);

    let row = "SELECT jsonb_build_array(event_id, aggregate_type, aggregate_id, event_type, payload, headers,
                                        extract(epoch FROM next_attempt_at)::text)
               FROM outbox";
    let rows = outbox.sql.query(row, &[]).await?;
    let rows: Vec<Value> = rows.iter().map(|row| row.get(0)).collect();
    let wanted =
        json!([id, "order", "1", "order.created", "a text", {"n": 1}, "4102444800.000001"]);
    assert_eq!(rows, [wanted]);
    Ok(())
}

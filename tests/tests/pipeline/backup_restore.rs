//! Restores from a backup: the runbook's guarantees for counts, deduplication and ids.

use anyhow::{Context as _, ensure};
use pipeline_tests::command::Ended;
use pipeline_tests::consumer_fixture::until;
use pipeline_tests::order_api::{CUSTOMER, accepted, order};
use pipeline_tests::pipeline::{
    PATIENCE, Pipeline, address, connect, orders_count, ready, start_consumer, start_order_service,
    start_relay,
};
use pipeline_tests::relay_command::outbox_relay;
use stack::Service;
use tokio_postgres::Client;

/// Orders between two steps of a test.
const ORDERS: i64 = 5;

async fn place(pipeline: &Pipeline) -> anyhow::Result<()> {
    let http = stack::http_client()?;
    for _ in 0..ORDERS {
        let call = http.post(format!("{}/api/orders", pipeline.order_url)).json(&order());
        accepted(call.send().await?).await?;
    }
    Ok(())
}

/// Waits until the customer's orders are counted and the queue is empty, so that nothing more can
/// be counted.
async fn counted(pipeline: &Pipeline, orders: i64) -> anyhow::Result<()> {
    let sql = connect(&pipeline.orders.url).await?;
    let pending = "SELECT count(*) FROM outbox WHERE published_at IS NULL";
    let count = until(async || {
        let count = orders_count(&pipeline.customer_url, CUSTOMER).await?;
        let pending: i64 = sql.query_one(pending, &[]).await?.get(0);
        Ok((count >= orders && pending == 0).then_some(count))
    });
    ensure!(count.await.context("all orders are counted")? == orders, "counted twice");
    Ok(())
}

/// Copies these tables as a backup.
async fn back_up(sql: &Client, tables: &[&str]) -> anyhow::Result<()> {
    let mut copies = "BEGIN ISOLATION LEVEL REPEATABLE READ; CREATE SCHEMA backup;".to_owned();
    for table in tables {
        copies.push_str(&format!("CREATE TABLE backup.{table} AS TABLE {table};"));
    }
    Ok(sql.batch_execute(&format!("{copies} COMMIT")).await?)
}

async fn restore(sql: &Client, tables: &[&str]) -> anyhow::Result<()> {
    let mut copies = "BEGIN;".to_owned();
    for table in tables {
        copies.push_str(&format!(
            "TRUNCATE {table}; INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE backup.{table};"
        ));
    }
    Ok(sql.batch_execute(&format!("{copies} COMMIT")).await?)
}

async fn end(process: &Service) -> anyhow::Result<()> {
    process.sigkill()?;
    process.wait_exit(PATIENCE).await?;
    Ok(())
}

async fn replay(pipeline: &Pipeline) -> anyhow::Result<Ended> {
    let arguments = ["replay", "--type", "order.created", "--since", "1h", "--yes"];
    let urls = [
        ("DATABASE_URL", pipeline.relay_url.as_str()),
        ("RABBITMQ_URL", pipeline.broker.amqp_url.as_str()),
    ];
    let replayed = outbox_relay(&arguments, &urls).await?;
    ensure!(replayed.code == Some(0), "{replayed:?}");
    Ok(replayed)
}

#[tokio::test]
async fn a_restored_customer_database_counts_right_after_a_replay() -> anyhow::Result<()> {
    let mut pipeline = Pipeline::start().await?;
    let customers = connect(&pipeline.customers.url).await?;
    let tables = ["customers", "processed_events"];
    place(&pipeline).await?;
    counted(&pipeline, ORDERS).await?;
    back_up(&customers, &tables).await?;
    place(&pipeline).await?;
    counted(&pipeline, 2 * ORDERS).await?;

    end(&pipeline.consumer).await?;
    restore(&customers, &tables).await?;
    pipeline.consumer = start_consumer(&pipeline.customers.url, &pipeline.broker.amqp_url).await?;
    ready(&pipeline.consumer).await?;
    place(&pipeline).await?;
    counted(&pipeline, 2 * ORDERS).await.context("the old ones and the new ones")?;

    // All orders: those of the backup and the new ones were counted, those in between were not.
    let replayed = replay(&pipeline).await?;
    assert_eq!(replayed.out, format!("{} events published again.\n", 3 * ORDERS));
    counted(&pipeline, 3 * ORDERS).await?;
    replay(&pipeline).await?;
    // Behind all duplicates.
    place(&pipeline).await?;
    counted(&pipeline, 4 * ORDERS).await
}

#[tokio::test]
async fn an_order_database_restored_to_an_earlier_moment_goes_on_and_counts_nothing_twice()
-> anyhow::Result<()> {
    let mut pipeline = Pipeline::start().await?;
    let orders = connect(&pipeline.orders.url).await?;
    let tables = ["orders", "outbox"];
    place(&pipeline).await?;
    counted(&pipeline, ORDERS).await?;
    end(&pipeline.relay).await?;
    place(&pipeline).await?;
    // With events that are pending now and published later.
    back_up(&orders, &tables).await?;
    pipeline.relay = start_relay(&pipeline.relay_url, &pipeline.broker.amqp_url).await?;
    place(&pipeline).await?;
    counted(&pipeline, 3 * ORDERS).await?;

    end(&pipeline.order_service).await?;
    end(&pipeline.relay).await?;
    restore(&orders, &tables).await?;
    // As a restored sequence, which repeats the ids since the backup.
    let reset = "SELECT setval('outbox_id_seq', (SELECT max(id) FROM outbox))";
    let last: i64 = orders.query_one(reset, &[]).await?.get(0);
    assert_eq!(last, 2 * ORDERS);
    pipeline.order_service =
        start_order_service(&pipeline.orders.url, &pipeline.customer_url).await?;
    ready(&pipeline.order_service).await?;
    pipeline.order_url = address(&pipeline.order_service, "HTTP port is open").await?;
    pipeline.relay = start_relay(&pipeline.relay_url, &pipeline.broker.amqp_url).await?;
    place(&pipeline).await?;
    // Lost orders stay counted; the events that were pending are published twice.
    counted(&pipeline, 4 * ORDERS).await?;
    let highest: i64 = orders.query_one("SELECT max(id) FROM outbox", &[]).await?.get(0);
    assert_eq!(highest, 3 * ORDERS, "ids are given out again");
    // Behind all duplicates.
    place(&pipeline).await?;
    counted(&pipeline, 5 * ORDERS).await
}

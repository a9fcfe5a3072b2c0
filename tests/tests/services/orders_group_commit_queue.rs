//! The queue of orders to be written: clients disconnect, the queue is full, waiting times out, the
//! service stops.

use futures_util::future::{join_all, try_join_all};
use pipeline_tests::blocked_order::{PATIENT, quantity, send, until_order_blocked, waiting};
use pipeline_tests::order_api::{OrderApi, accepted, count, order, problem};
use pipeline_tests::outbox::{PATIENCE, connect, eventually};

#[tokio::test]
async fn a_client_that_hangs_up_harms_nobody() -> anyhow::Result<()> {
    let api = OrderApi::start_with(&PATIENT).await?;
    let mut sql = api.sql().await?;
    let lock = sql.transaction().await?;
    lock.batch_execute("LOCK TABLE orders IN SHARE MODE").await?;
    let first = send(&api, &[(quantity(100), None)]);
    until_order_blocked(&lock).await?;
    let orders: Vec<_> = (1..=20).map(|number| (quantity(number), None)).collect();
    let rest = send(&api, &orders);
    waiting(&api, 20).await?;
    // The one being written, and every other one in the queue.
    for (place, client) in first.iter().chain(&rest).enumerate() {
        if place % 2 == 0 {
            client.abort();
        }
    }
    join_all(first).await;
    lock.rollback().await?;
    for (number, answer) in (1..).zip(rest) {
        if number % 2 == 1 {
            assert_eq!(accepted(answer.await??).await?["quantity"], number);
        }
    }
    accepted(api.post(&order()).send().await?).await?;
    let together = "SELECT count(*) FROM orders FULL JOIN outbox ON aggregate_id = orders.id::text
                    WHERE orders.id IS NULL OR outbox.id IS NULL";
    assert_eq!(sql.query_one(together, &[]).await?.get::<_, i64>(0), 0);
    Ok(())
}

#[tokio::test]
async fn more_orders_than_may_wait_are_rejected_at_once() -> anyhow::Result<()> {
    let settings = [&PATIENT[..], &["--order-queue-size", "5"]].concat();
    let api = OrderApi::start_with(&settings).await?;
    let mut sql = api.sql().await?;
    let lock = sql.transaction().await?;
    lock.batch_execute("LOCK TABLE orders IN SHARE MODE").await?;
    let first = send(&api, &[(order(), None)]);
    until_order_blocked(&lock).await?;
    let rest = send(&api, &vec![(order(), None); 5]);
    waiting(&api, 5).await?;
    for _ in 0..10 {
        let told = problem(api.post(&order()).send().await?, 503).await?;
        assert_eq!(told["detail"], "Too many orders at once; try again soon.");
    }
    // Requests that do not write orders are not affected.
    assert_eq!(api.get("/up").await?.status(), 200);
    lock.rollback().await?;
    for answer in try_join_all(first.into_iter().chain(rest)).await? {
        accepted(answer?).await?;
    }
    assert_eq!(count(&sql, "orders").await?, 6);
    Ok(())
}

#[tokio::test]
async fn an_order_that_waits_too_long_is_rejected_and_never_written() -> anyhow::Result<()> {
    let settings = [
        "--customer-check",
        "off",
        "--database-pool-wait",
        "300ms",
        "--database-statement-timeout",
        "60s",
    ];
    let api = OrderApi::start_with(&settings).await?;
    let mut sql = api.sql().await?;
    let lock = sql.transaction().await?;
    lock.batch_execute("LOCK TABLE orders IN SHARE MODE").await?;
    let first = send(&api, &[(order(), None)]);
    until_order_blocked(&lock).await?;
    for answer in try_join_all(send(&api, &vec![(order(), None); 10])).await? {
        problem(answer?, 503).await?;
    }
    lock.rollback().await?;
    // The order being written is waited for.
    accepted(first.into_iter().next().expect("one").await??).await?;
    api.create().await?;
    assert_eq!(count(&sql, "orders").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_stop_lets_the_orders_that_wait_be_written() -> anyhow::Result<()> {
    let database = stack::shared().await?.database("orders").await?;
    let api = OrderApi::launch(&database.url, &PATIENT).await?;
    api.ready().await?;
    let mut sql = connect(&database.url).await?;
    let lock = sql.transaction().await?;
    lock.batch_execute("LOCK TABLE orders IN SHARE MODE").await?;
    let first = send(&api, &[(order(), None)]);
    until_order_blocked(&lock).await?;
    let rest = send(&api, &vec![(order(), None); 20]);
    waiting(&api, 20).await?;
    let url = format!("{}/up", api.url);
    let stopping = tokio::spawn(api.stop());
    eventually("no new connection is taken", async || {
        Ok(stack::http_client()?.get(&url).send().await.is_err())
    })
    .await?;
    lock.rollback().await?;
    for answer in try_join_all(first.into_iter().chain(rest)).await? {
        accepted(answer?).await?;
    }
    tokio::time::timeout(PATIENCE, stopping).await???;
    assert_eq!(count(&sql, "orders").await?, 21);
    Ok(())
}

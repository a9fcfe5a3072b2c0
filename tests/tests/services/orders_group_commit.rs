//! Group commit: concurrent orders are written in one transaction, and each has its own outcome.

use std::time::Duration;

use futures_util::future::try_join_all;
use pipeline_tests::blocked_order::{
    KEY, PATIENT, metric, post_behind_blocked, quantity, send, until_order_blocked, waiting,
};
use pipeline_tests::order_api::{OrderApi, accepted, count, faults, order, problem};
use pipeline_tests::outbox::eventually;
use serde_json::Value;
use tokio_postgres::Client;

/// The number of transactions that wrote the rows of a table.
async fn transactions(sql: &Client, table: &str) -> anyhow::Result<i64> {
    let query = format!("SELECT count(DISTINCT xmin::text) FROM {table}");
    Ok(sql.query_one(&query, &[]).await?.get(0))
}

#[tokio::test]
async fn orders_that_wait_at_the_same_moment_share_a_transaction_with_their_events()
-> anyhow::Result<()> {
    let api = OrderApi::start_with(&PATIENT).await?;
    let mut sql = api.sql().await?;
    let orders: Vec<_> = (1..=40).map(|number| (quantity(number), None)).collect();
    for answer in post_behind_blocked(&api, &mut sql, &orders).await? {
        let location = answer.headers()["location"].to_str()?.to_owned();
        let told = accepted(answer).await?;
        let found: Value = api.get(&location).await?.json().await?;
        assert_eq!(found, told);
    }
    for table in ["orders", "outbox"] {
        assert_eq!(count(&sql, table).await?, 41, "{table}");
        assert_eq!(transactions(&sql, table).await?, 2, "{table}");
    }
    let apart =
        "SELECT count(*) FROM orders AS o LEFT JOIN outbox AS e ON e.aggregate_id = o.id::text
                 AND e.xmin = o.xmin AND e.payload = jsonb_build_object('order_public_id', o.id,
                     'customer_public_id', o.customer_public_id, 'product_name', o.product_name,
                     'quantity', o.quantity, 'price', o.price::text, 'status', 'created')
                 WHERE e.id IS NULL";
    assert_eq!(sql.query_one(apart, &[]).await?.get::<_, i64>(0), 0);
    for (name, value) in
        [("orders_joined_total", 41), ("order_batches_total", 2), ("orders_waiting", 0)]
    {
        assert_eq!(metric(&api, name).await?, value, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn an_order_that_is_alone_waits_for_nobody() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let sql = api.sql().await?;
    for made in 1..=20 {
        api.create().await?;
        assert_eq!(transactions(&sql, "orders").await?, made);
    }
    Ok(())
}

#[tokio::test]
async fn transactions_are_measured_by_their_names() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let id = api.create().await?;
    api.get(&format!("/api/orders/{id}")).await?;
    for transaction in ["create_orders", "find_orders"] {
        let name =
            format!("database_transaction_duration_seconds_count{{transaction=\"{transaction}\"}}");
        assert_eq!(metric(&api, &name).await?, 1, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn phases_tell_whether_a_slow_order_waited_for_others_or_for_the_database()
-> anyhow::Result<()> {
    let api = OrderApi::start_with(&PATIENT).await?;
    let mut sql = api.sql().await?;
    let lock = sql.transaction().await?;
    lock.batch_execute("LOCK TABLE orders IN SHARE MODE").await?;
    let first = send(&api, &[(order(), None)]);
    until_order_blocked(&lock).await?;
    let second = send(&api, &[(order(), None)]);
    waiting(&api, 1).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    lock.rollback().await?;
    for answer in try_join_all(first.into_iter().chain(second)).await? {
        accepted(answer?).await?;
    }
    // Of the two orders, one waited for the lock, and one for the batch before its own.
    for (phase, within_2_5_seconds) in
        [("parse", 2), ("check", 2), ("queue", 1), ("statement", 1), ("answer", 2)]
    {
        for (le, count) in [("2.5", within_2_5_seconds), ("+Inf", 2)] {
            let name =
                format!("order_phase_duration_seconds_bucket{{phase=\"{phase}\",le=\"{le}\"}}");
            assert_eq!(metric(&api, &name).await?, count, "{name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_order_that_fails_fails_alone() -> anyhow::Result<()> {
    // One connection: retries must not starve each other.
    let settings = [&PATIENT[..], &["--database-pool-size", "1"]].concat();
    let api = OrderApi::start_with(&settings).await?;
    let mut sql = api.sql().await?;
    sql.batch_execute("ALTER TABLE orders ADD CONSTRAINT few CHECK (quantity <> 13)").await?;
    let orders: Vec<_> = (1..=40).map(|number| (quantity(number), None)).collect();
    for (number, answer) in (1..).zip(post_behind_blocked(&api, &mut sql, &orders).await?) {
        if number == 13 {
            problem(answer, 500).await?;
        } else {
            assert_eq!(accepted(answer).await?["quantity"], number);
        }
    }
    for table in ["orders", "outbox"] {
        assert_eq!(count(&sql, table).await?, 40, "{table}");
        assert_eq!(transactions(&sql, table).await?, 40, "{table}");
    }
    Ok(())
}

#[tokio::test]
async fn an_event_that_fails_takes_its_own_order_with_it_and_no_other() -> anyhow::Result<()> {
    let api = OrderApi::start_with(&PATIENT).await?;
    let mut sql = api.sql().await?;
    let rule = "ALTER TABLE outbox ADD CONSTRAINT few CHECK (payload->>'quantity' <> '3')";
    sql.batch_execute(rule).await?;
    let orders: Vec<_> = (1..=5).map(|number| (quantity(number), None)).collect();
    for (number, answer) in (1..).zip(post_behind_blocked(&api, &mut sql, &orders).await?) {
        assert_eq!(answer.status(), if number == 3 { 500 } else { 201 }, "{number}");
    }
    let query = "SELECT array_agg(quantity ORDER BY quantity) FROM orders";
    let kept: Vec<i32> = sql.query_one(query, &[]).await?.get(0);
    assert_eq!(kept, [1, 2, 2, 4, 5]);
    Ok(())
}

#[tokio::test]
async fn an_order_that_a_trigger_leaves_out_has_no_event() -> anyhow::Result<()> {
    let api = OrderApi::start_with(&PATIENT).await?;
    let mut sql = api.sql().await?;
    sql.batch_execute(
        "CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER leave_out BEFORE INSERT ON orders
             FOR EACH ROW WHEN (NEW.quantity = 3) EXECUTE FUNCTION leave_out()",
    )
    .await?;
    let orders: Vec<_> = (1..=5).map(|number| (quantity(number), None)).collect();
    for (number, answer) in (1..).zip(post_behind_blocked(&api, &mut sql, &orders).await?) {
        assert_eq!(answer.status(), if number == 3 { 500 } else { 201 }, "{number}");
    }
    for query in [
        "SELECT array_agg(quantity ORDER BY quantity) FROM orders",
        "SELECT array_agg((payload->>'quantity')::integer ORDER BY payload->>'quantity') FROM outbox",
    ] {
        let kept: Vec<i32> = sql.query_one(query, &[]).await?.get(0);
        assert_eq!(kept, [1, 2, 2, 4, 5], "{query}");
    }
    Ok(())
}

#[tokio::test]
async fn requests_with_one_key_in_one_batch_make_one_order() -> anyhow::Result<()> {
    let api = OrderApi::start_with(&PATIENT).await?;
    let mut sql = api.sql().await?;
    let orders = [
        (quantity(1), Some("same")),
        (quantity(1), Some("same")),
        (quantity(7), Some("other")),
        (quantity(1), Some("same")),
        (quantity(1), None),
    ];
    let mut told = Vec::new();
    let mut replays = 0;
    for answer in post_behind_blocked(&api, &mut sql, &orders).await? {
        replays += usize::from(answer.headers().contains_key("idempotency-replayed"));
        told.push(accepted(answer).await?);
    }
    assert_eq!(replays, 2);
    assert!(told[0] == told[1] && told[0] == told[3]);
    assert_ne!(told[0]["id"], told[4]["id"]);
    assert_eq!(told[2]["quantity"], 7);
    assert_eq!((count(&sql, "orders").await?, count(&sql, "outbox").await?), (4, 4));
    assert_eq!(transactions(&sql, "outbox").await?, 2);
    assert_eq!(count(&sql, "idempotency_keys").await?, 2);

    // The orders are in the table now.
    let again = api.post(&quantity(1)).header(KEY, "same").send().await?;
    assert_eq!(accepted(again).await?, told[0]);
    Ok(())
}

#[tokio::test]
async fn another_body_under_a_key_of_the_same_batch_is_refused() -> anyhow::Result<()> {
    let api = OrderApi::start_with(&PATIENT).await?;
    let mut sql = api.sql().await?;
    let orders = [(quantity(1), Some("k")), (quantity(5), Some("k")), (quantity(6), None)];
    let [one, other, third] =
        post_behind_blocked(&api, &mut sql, &orders).await?.try_into().expect("three");
    // The first one has the key.
    let (made, refused) = if one.status() == 201 { (one, other) } else { (other, one) };
    accepted(made).await?;
    let told = faults(refused).await?;
    assert_eq!(told, ["Idempotency-Key was used before with another body"]);
    accepted(third).await?;
    assert_eq!(count(&sql, "orders").await?, 3);
    Ok(())
}

#[tokio::test]
async fn a_key_that_another_service_took_meanwhile_harms_only_its_own_order() -> anyhow::Result<()>
{
    let api = OrderApi::start_with(&PATIENT).await?;
    let mut sql = api.sql().await?;
    let lock = sql.transaction().await?;
    lock.batch_execute("LOCK TABLE orders IN SHARE MODE").await?;
    let first = send(&api, &[(order(), None)]);
    until_order_blocked(&lock).await?;
    // Looked up before the key is taken, written afterwards.
    let orders =
        [(quantity(1), Some("same")), (quantity(9), Some("different")), (quantity(3), None)];
    let rest = send(&api, &orders);
    waiting(&api, 3).await?;
    lock.batch_execute(
        "INSERT INTO orders (id, customer_public_id, product_name, quantity, price, delivery_address)
         SELECT id, '11111111-1111-1111-1111-111111111111', 'Laptop', 1, 1200, 'Cra 7 #12-34, Bogotá'
         FROM (VALUES ('019c1b27-3a4c-7d10-9f6e-5b1d2c8a4e37'::uuid)) AS one (id);
         INSERT INTO idempotency_keys (key, order_id)
         SELECT key, '019c1b27-3a4c-7d10-9f6e-5b1d2c8a4e37' FROM (VALUES ('same'), ('different')) AS keys (key)",
    )
    .await?;
    lock.commit().await?;
    accepted(first.into_iter().next().expect("one").await??).await?;
    let answers = try_join_all(rest).await?;
    let [same, different, free] = <[_; 3]>::try_from(answers).expect("three");
    let same = same?;
    assert!(same.headers().contains_key("idempotency-replayed"));
    assert_eq!(accepted(same).await?["id"], "019c1b27-3a4c-7d10-9f6e-5b1d2c8a4e37");
    faults(different?).await?;
    accepted(free?).await?;
    assert_eq!((count(&sql, "orders").await?, count(&sql, "outbox").await?), (3, 2));
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_held_for_long_holds_only_its_own_order_up() -> anyhow::Result<()> {
    let api = OrderApi::start_with(&PATIENT).await?;
    let mut sql = api.sql().await?;
    let watch = api.sql().await?;
    let holder = sql.transaction().await?;
    let take = "INSERT INTO idempotency_keys (key, order_id) VALUES ('held', gen_random_uuid())";
    holder.batch_execute(take).await?;
    let held = send(&api, &[(order(), Some("held"))]);
    // In this database only: other tests have transactions on the same server.
    let blocked = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
                   WHERE datname = current_database() AND NOT granted AND locktype = 'transactionid'";
    eventually("the order waits for the key", async || {
        Ok(watch.query_one(blocked, &[]).await?.get::<_, i64>(0) > 0)
    })
    .await?;
    // No longer than it takes to detect that the key is locked.
    for answer in try_join_all(send(&api, &vec![(order(), None); 20])).await? {
        accepted(answer?).await?;
    }
    assert!(held.iter().all(|order| !order.is_finished()));
    holder.rollback().await?;
    accepted(held.into_iter().next().expect("one").await??).await?;
    assert_eq!(count(&watch, "orders").await?, 21);
    Ok(())
}

#[tokio::test]
async fn the_events_of_an_order_stand_in_the_order_in_which_they_happened() -> anyhow::Result<()> {
    let api = OrderApi::start_with(&PATIENT).await?;
    let lives = (0..40).map(async |_| {
        let id = api.create().await?;
        for status in ["processing", "shipped", "delivered"] {
            api.patch(&id, status).await?.error_for_status()?;
        }
        anyhow::Ok(())
    });
    try_join_all(lives).await?;
    let query = "SELECT array_agg(event_type ORDER BY id) FROM outbox GROUP BY aggregate_id";
    let rows = api.sql().await?.query(query, &[]).await?;
    assert_eq!(rows.len(), 40);
    for row in rows {
        let events: Vec<String> = row.get(0);
        let happened = ["order.created", "order.processing", "order.shipped", "order.delivered"];
        assert_eq!(events, happened);
    }
    Ok(())
}

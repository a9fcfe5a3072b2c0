//! The consumer applies many messages in one transaction.

use anyhow::ensure;
use pipeline_tests::blocked_consumer::{BlockAt, block_transactions, unblock, until_blocked};
use pipeline_tests::consumer_fixture::{
    ConsumerFixture, DEAD_LETTER_QUEUE, QUEUE, RETRY_QUEUE, large_orders_of, order_created,
    orders_of, until,
};
use pipeline_tests::metrics::shows;
use pipeline_tests::pipeline::{PATIENCE, connect};
use serde_json::json;
use tokio_postgres::SimpleQueryMessage;
use uuid::Uuid;

type Tested = anyhow::Result<()>;

/// The number of events of each transaction, which share its timestamp.
async fn batches(fixture: &ConsumerFixture) -> anyhow::Result<Vec<i64>> {
    let sizes = "SELECT count(*) FROM processed_events GROUP BY processed_at";
    let rows = fixture.sql.query(sizes, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

#[tokio::test]
async fn what_waits_is_counted_in_transactions_of_half_the_prefetch() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    fixture.publish_all(orders_of(400, customer)).await?;

    let consumer = fixture.consumer(&["--consumer-prefetch", "40"]).await?;
    fixture.counted(customer, 400).await?;
    let sizes = batches(&fixture).await?;
    assert!(sizes.iter().all(|&size| size <= 20), "{sizes:?}");
    // The next ones arrive while one commits.
    assert!(sizes.len() <= 200, "{} transactions for 400 events", sizes.len());
    fixture.finished(consumer).await
}

#[tokio::test]
async fn a_transaction_takes_no_more_messages_once_they_are_some_megabytes() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    fixture.publish_all(large_orders_of(30, customer)).await?;

    // All of them have arrived before the first transaction ends.
    block_transactions(&fixture.sql, BlockAt::Count, &[customer]).await?;
    let consumer = fixture.consumer(&["--database-statement-timeout", "60s"]).await?;
    until(async || Ok((fixture.waiting(QUEUE).await? == 0).then_some(()))).await?;
    unblock(&fixture.sql).await?;
    fixture.counted(customer, 30).await?;
    let sizes = batches(&fixture).await?;
    assert!(sizes.iter().all(|&size| size <= 10), "{sizes:?}");
    fixture.finished(consumer).await
}

/// The commit is blocked, and succeeds long after its client was killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_was_committed_and_not_acknowledged_counts_once() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customers = [fixture.customer().await?, fixture.customer().await?];
    fixture.consumer(&[]).await?.stop().await?;
    block_transactions(&fixture.sql, BlockAt::Commit, &customers).await?;
    for customer in customers {
        fixture.publish_all(orders_of(50, customer)).await?;
    }
    let settings = [("DATABASE_STATEMENT_TIMEOUT", "60s"), ("RABBITMQ_MAX_RETRIES", "0")];
    let service = fixture.consumer_process(&settings).await?;
    until_blocked(&fixture.sql).await?;
    service.sigkill()?;
    service.wait_exit(PATIENCE).await?;
    until(async || Ok((fixture.waiting(QUEUE).await? == 100).then_some(()))).await?;
    let counted = "SELECT sum(orders_count)::bigint FROM customers";
    let counted = async || anyhow::Ok(fixture.sql.query_one(counted, &[]).await?.get::<_, i64>(0));
    assert_eq!(counted().await?, 0, "killed too late to mean anything");
    unblock(&fixture.sql).await?;
    until(async || Ok((counted().await? > 0).then_some(()))).await?;
    let before = counted().await?;

    let service = fixture.consumer_process(&settings).await?;
    let expected = [
        format!("consumer_events_total{{outcome=\"duplicate\"}} {before}"),
        format!("consumer_events_total{{outcome=\"counted\"}} {}", 100 - before),
        "consumer_redeliveries_total 100".to_owned(),
    ];
    shows(&service, &expected.each_ref().map(String::as_str)).await?;
    for customer in customers {
        assert_eq!(fixture.count(customer).await?, 50);
    }
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

/// Every kind of message in one batch: each has the outcome that it would have alone.
#[tokio::test]
async fn each_message_of_a_batch_has_a_fate_of_its_own() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let consumer = fixture.consumer(&[]).await?;
    let known = order_created(Uuid::now_v7(), customer);
    fixture.publish(&known).await?;
    fixture.counted(customer, 1).await?;
    consumer.stop().await?;

    let refused = Uuid::now_v7();
    let refuse = format!(
        "ALTER TABLE processed_events ADD CONSTRAINT not_this CHECK (event_id <> '{refused}')"
    );
    fixture.sql.batch_execute(&refuse).await?;
    let fresh = order_created(Uuid::now_v7(), customer);
    let mut shipped = order_created(Uuid::now_v7(), customer);
    shipped["event"] = json!("order.shipped");
    let unknown = order_created(Uuid::now_v7(), Uuid::new_v4());
    let mut bodies = orders_of(40, customer);
    let others = [known, fresh.clone(), shipped, unknown, order_created(refused, customer), fresh];
    for (at, body) in others.iter().enumerate() {
        bodies.insert(7 * at, body.to_string().into_bytes());
    }
    bodies.insert(20, b"no event".to_vec());
    fixture.publish_all(bodies).await?;

    let settings = ["--rabbitmq-retry-ttl-ms", "3600000"];
    let consumer = fixture.consumer(&settings).await?;
    fixture.counted(customer, 42).await?;
    fixture.finished(consumer).await?;
    assert_eq!(fixture.count(customer).await?, 42);
    assert_eq!(fixture.waiting(RETRY_QUEUE).await?, 2, "the unknown customer, the refused event");
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 1);
    Ok(())
}

/// Few customers, so that all consumers contend for the same rows; every event three times, so that
/// they contend for the events too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_consumers_of_few_customers_never_deadlock() -> Tested {
    const EVENTS: usize = 3_000;
    const CUSTOMERS: usize = 3;
    let fixture = ConsumerFixture::start().await?;
    let mut customers = Vec::new();
    for _ in 0..CUSTOMERS {
        customers.push(fixture.customer().await?);
    }
    fixture.consumer(&[]).await?.stop().await?;
    let ids: Vec<Uuid> = (0..EVENTS).map(|_| Uuid::new_v4()).collect();
    let body =
        |at: usize| order_created(ids[at], customers[at % CUSTOMERS]).to_string().into_bytes();
    let copies = (0..EVENTS).flat_map(|at| [at, EVENTS - 1 - at, (at + EVENTS / 3) % EVENTS]);
    fixture.publish_all(copies.map(body)).await?;

    let mut consumers = Vec::new();
    for prefetch in ["40", "60", "80", "100"] {
        consumers.push(fixture.unready_consumer(&["--consumer-prefetch", prefetch]).await?);
    }
    let expected = i64::try_from(EVENTS / CUSTOMERS)?;
    for customer in &customers {
        fixture.counted(*customer, expected).await?;
    }
    let last = consumers.pop();
    for consumer in consumers {
        consumer.stop().await?;
    }
    if let Some(last) = last {
        fixture.finished(last).await?;
    }
    for customer in &customers {
        assert_eq!(fixture.count(*customer).await?, expected);
    }
    // A session reports its statistics at its end at the latest.
    let sessions = "SELECT FROM pg_stat_activity WHERE datname = current_database()
                    AND application_name = 'customer-service consumer'";
    until(async || Ok(fixture.sql.query(sessions, &[]).await?.is_empty().then_some(()))).await?;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let deadlocks: i64 = fixture.sql.query_one(deadlocks, &[]).await?.get(0);
    ensure!(deadlocks == 0, "{deadlocks} deadlocks");
    assert_eq!(fixture.waiting(RETRY_QUEUE).await?, 0);
    Ok(())
}

/// After waiting for another consumer, PostgreSQL re-evaluates each customer's row separately. With
/// a plan that scans all customers of the batch, that takes quadratic time.
#[tokio::test]
async fn customers_are_locked_in_order_and_looked_up_one_by_one() -> Tested {
    let statement = include_str!("../../../sql/customer/queries/lock_customers.sql");
    let fixture = ConsumerFixture::start().await?;
    let customers = "INSERT INTO customers (id, name, address) SELECT gen_random_uuid(), 'A', 'B' FROM generate_series(1, 5000)";
    fixture.sql.batch_execute(customers).await?;
    for state in ["DELETE FROM pg_statistic", "ANALYZE customers"] {
        fixture.sql.batch_execute(state).await?;
        let session = connect(&fixture.database.url).await?;
        // With the settings of the consumer's session.
        let settings =
            "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off";
        session.batch_execute(settings).await?;
        session.batch_execute(&format!("PREPARE lock (uuid[]) AS {statement}")).await?;
        let plan = session.simple_query("EXPLAIN EXECUTE lock ('{}')").await?;
        let lines = plan.iter().filter_map(|line| match line {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let plan = lines.collect::<Vec<_>>().join("\n");
        assert!(plan.contains("Index Cond: (id = batch.id)"), "{state}:\n{plan}");
        // Consumers that lock in any other order deadlock, if rarely.
        let sorts = ["Sort Key: customers.id", "Sort Key: given.id"];
        assert!(sorts.iter().any(|sort| plan.contains(sort)), "{state}:\n{plan}");
    }
    Ok(())
}

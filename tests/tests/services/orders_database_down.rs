//! Database outages: down, restarted, too slow, hanging, full.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pipeline_tests::blocked_order::{metric, until_order_blocked};
use pipeline_tests::closed_port::ClosedPort;
use pipeline_tests::order_api::{OrderApi, accepted, count, order, problem};
use pipeline_tests::outbox::eventually;
use pipeline_tests::paused_process::PausedProcess;
use pipeline_tests::pipeline::{PATIENCE, connect};
use stack::{PostgresServer, ProcessId};
use tokio::time::timeout;

/// Posts until an order is accepted.
async fn until_accepted(api: &OrderApi) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let answer = api.post(&order()).send().await?;
        if answer.status() == 201 {
            return Ok(());
        }
        problem(answer, 503).await?;
        anyhow::ensure!(begun.elapsed() < PATIENCE, "never accepted again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn while_the_database_is_down_requests_are_rejected_and_then_it_recovers()
-> anyhow::Result<()> {
    let mut server = PostgresServer::start_temporary().await?;
    let database = server.database("orders").await?;
    let api = OrderApi::launch(&database.url, &["--customer-check", "off"]).await?;
    api.ready().await?;
    let id = api.create().await?;

    for round in 0..2 {
        if round == 0 {
            server.stop_immediately().await?;
        } else {
            server.kill().await?;
        }
        for _ in 0..2 {
            problem(api.post(&order()).send().await?, 503).await?;
            problem(api.post(&order()).header("Idempotency-Key", "k").send().await?, 503).await?;
            problem(api.patch(&id, "processing").await?, 503).await?;
            problem(api.get(&format!("/api/orders/{id}")).await?, 503).await?;
            problem(api.get("/api/orders").await?, 503).await?;
        }
        assert_eq!(api.get("/up").await?.status(), 200);
        server.start().await?;
        until_accepted(&api).await?;
        api.ready().await?;
    }
    api.stop().await
}

#[tokio::test]
async fn a_service_that_starts_before_its_database_waits_for_it() -> anyhow::Result<()> {
    let mut server = PostgresServer::start_temporary().await?;
    let database = server.database("orders").await?;
    server.stop_gracefully().await?;
    let api = OrderApi::launch(&database.url, &["--customer-check", "off"]).await?;
    problem(api.post(&order()).send().await?, 503).await?;
    let ready = api.http.get(format!("{}/readyz", api.ops_url)).send().await?;
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await?.contains("postgresql"));

    server.start().await?;
    api.ready().await?;
    accepted(api.post(&order()).send().await?).await?;
    api.stop().await
}

#[tokio::test]
async fn a_service_that_waits_for_its_database_can_be_stopped() -> anyhow::Result<()> {
    let closed = ClosedPort::reserve()?;
    let url = format!("postgres://u@{}/none", closed.address());
    let api = OrderApi::launch(&url, &["--customer-check", "off"]).await?;
    problem(api.post(&order()).send().await?, 503).await?;
    tokio::time::timeout(Duration::from_secs(10), api.stop()).await?
}

/// Settings of an order service with one connection, for which requests wait as long as they may.
const ONE_CONNECTION: [&str; 8] = [
    "--customer-check",
    "off",
    "--database-pool-size",
    "1",
    "--database-pool-wait",
    "1h",
    "--database-statement-timeout",
    "1h",
];

#[tokio::test]
async fn more_requests_than_may_wait_for_a_connection_are_rejected_at_once() -> anyhow::Result<()> {
    let api = OrderApi::start_with(&ONE_CONNECTION).await?;
    let mut sql = api.sql().await?;
    let lock = sql.transaction().await?;
    lock.batch_execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await?;
    let list = || api.http.get(format!("{}/api/orders", api.url)).send();
    // One has the connection, and only then do 16 wait for it: at the same moment 17 would wait.
    let first = tokio::spawn(list());
    let watch = api.sql().await?;
    let reads = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let reads = async || Ok(watch.query_one(reads, &[]).await?.get::<_, i64>(0) == 1);
    eventually("one waits for the table", reads).await?;
    let lists: Vec<_> = (0..16).map(|_| tokio::spawn(list())).chain([first]).collect();
    eventually("16 wait", async || Ok(metric(&api, "database_pool_waiting").await? == 16)).await?;
    for _ in 0..10 {
        let refused = timeout(Duration::from_secs(10), list()).await?;
        let told = problem(refused?, 503).await?;
        assert_eq!(told["detail"], "Too many requests at once; try again soon.");
    }
    assert!(lists.iter().all(|waiting| !waiting.is_finished()));
    lock.rollback().await?;
    for waiting in lists {
        assert_eq!(waiting.await??.status(), 200);
    }
    Ok(())
}

#[tokio::test]
async fn orders_that_the_pool_can_not_serve_are_rejected_and_never_written() -> anyhow::Result<()> {
    let settings = [
        "--customer-check",
        "off",
        "--database-pool-size",
        "2",
        "--database-pool-wait",
        "200ms",
        "--database-statement-timeout",
        "2s",
    ];
    let api = OrderApi::start_with(&settings).await?;
    let mut sql = api.sql().await?;
    let lock = sql.transaction().await?;
    lock.batch_execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await?;
    let begun = Instant::now();
    let answers = join_all((0..100).map(|_| api.post(&order()).send())).await;
    // Two wait for the lock until the statement timeout; no other waits longer than the pool's
    // timeout.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    for answer in answers {
        problem(answer?, 503).await?;
    }
    lock.rollback().await?;
    until_accepted(&api).await?;
    assert_eq!(count(&sql, "orders").await?, 1);
    assert_eq!(count(&sql, "outbox").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_connection_that_hangs_is_given_up_and_replaced() -> anyhow::Result<()> {
    let server = PostgresServer::start_temporary().await?;
    let database = server.database("orders").await?;
    let settings = [
        "--customer-check",
        "off",
        "--database-pool-size",
        "1",
        "--database-statement-timeout",
        "500ms",
    ];
    let api = OrderApi::launch(&database.url, &settings).await?;
    api.ready().await?;
    api.create().await?;
    let sql = connect(&database.url).await?;
    let backends = "SELECT pid FROM pg_stat_activity WHERE application_name = 'order-service'";
    let mut frozen = Vec::new();
    for row in sql.query(backends, &[]).await? {
        let pid = u32::try_from(row.get::<_, i32>(0))?;
        frozen.push(PausedProcess::new(ProcessId::of(pid).expect("a backend lives"))?);
    }
    assert!(!frozen.is_empty());
    let begun = Instant::now();
    problem(api.post(&order()).send().await?, 503).await?;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    until_accepted(&api).await?;
    for backend in frozen {
        backend.resume()?;
    }
    api.stop().await
}

#[tokio::test]
async fn an_order_whose_fate_is_unknown_is_made_once_when_it_is_sent_again() -> anyhow::Result<()> {
    let mut server = PostgresServer::start_temporary().await?;
    let database = server.database("orders").await?;
    let api = OrderApi::launch(&database.url, &["--customer-check", "off"]).await?;
    api.ready().await?;
    let mut sql = connect(&database.url).await?;
    let lock = sql.transaction().await?;
    lock.batch_execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await?;
    let send = || api.post(&order()).header("Idempotency-Key", "k").send();
    let in_flight = tokio::spawn(send());
    let begun = Instant::now();
    until_order_blocked(&lock).await?;
    server.stop_immediately().await?;
    problem(in_flight.await??, 503).await?;

    server.start().await?;
    for _ in 0..2 {
        while send().await?.status() != 201 {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "never accepted again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let sql = connect(&database.url).await?;
    for table in ["orders", "outbox", "idempotency_keys"] {
        assert_eq!(count(&sql, table).await?, 1, "{table}");
    }
    api.stop().await
}

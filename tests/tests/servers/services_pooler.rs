//! The services behind `PgBouncer` in transaction mode, with two server connections: each statement
//! may run in another session.

use std::time::Duration;

use anyhow::ensure;
use futures_util::future::try_join_all;
use pipeline_tests::customer_api::CustomerApi;
use pipeline_tests::disconnecting_client::{send_request, until_waiting, waiting_for};
use pipeline_tests::order_api::{OrderApi, count, order};
use pipeline_tests::pgbouncer::PgBouncer;
use pipeline_tests::pipeline::{PATIENCE, connect, ready, start_consumer};
use stack::{Database, Service};

const UNNAMED: &str = "a pooler stands before PostgreSQL";

/// Many concurrent clients create orders with and without keys, read, list and change them.
async fn is_used(api: &OrderApi) -> anyhow::Result<()> {
    let client = async |number: u32| {
        for round in 0..5 {
            let key = format!("{number}-{round}");
            for status in [201, 201] {
                let post = api.post(&order()).header("Idempotency-Key", &key);
                assert_eq!(post.send().await?.status(), status);
            }
            let id = api.create().await?;
            for path in [
                format!("/api/orders/{id}"),
                "/api/orders?limit=2".to_owned(),
                "/api/orders?status=created".to_owned(),
                "/api/orders?customer_public_id=11111111-1111-1111-1111-111111111111".to_owned(),
            ] {
                let answer = api.get(&path).await?;
                ensure!(answer.status() == 200, "{path}: {}", answer.text().await?);
            }
            assert_eq!(api.patch(&id, "processing").await?.status(), 200);
        }
        anyhow::Ok(())
    };
    try_join_all((0..8).map(client)).await.map(drop)
}

/// Migrates from four replicas concurrently. Returns the number of migrations.
async fn migrated(program: &str, database: &Database, url: &str) -> anyhow::Result<usize> {
    let mut replicas = Vec::new();
    for _ in 0..4 {
        let program = stack::binary(program).await?;
        replicas.push(Service::spawn(program, ["migrate"], [("DATABASE_URL", url)]).await?);
    }
    let mut applied = 0;
    for replica in &replicas {
        let status = replica.wait_exit(PATIENCE).await?;
        ensure!(status.success(), "{}", replica.last_lines());
        applied += replica.log().matches("applied a migration").count();
    }
    let history = count(&connect(&database.url).await?, "refinery_schema_history").await?;
    assert_eq!(i64::try_from(applied)?, history, "each migration by one replica");
    Ok(applied)
}

#[tokio::test]
async fn an_order_service_finds_the_pooler_and_prepares_nothing_by_name() -> anyhow::Result<()> {
    let database = stack::shared().await?.database("pooled").await?;
    let (pooler, url) = PgBouncer::before(&database.url).await?;
    migrated("order-service", &database, &url).await?;
    let services = [
        OrderApi::launch(&url, &["--customer-check", "off"]).await?,
        OrderApi::launch(&url, &["--customer-check", "off"]).await?,
    ];
    for api in &services {
        api.ready().await?;
    }
    try_join_all(services.iter().map(is_used)).await?;
    let sql = connect(&database.url).await?;
    // Both use the same keys; each service creates and changes 40 orders without a key.
    assert_eq!(count(&sql, "orders").await?, 40 + 2 * 40);
    assert_eq!(count(&sql, "outbox").await?, 40 + 2 * 40 + 2 * 40);
    for api in services {
        ensure!(api.log().contains(UNNAMED), "{}", api.log());
        api.stop().await?;
    }
    ensure!(!pooler.log().contains("prepared statement"), "{}", pooler.log());
    Ok(())
}

#[tokio::test]
async fn statements_are_prepared_by_name_where_no_pooler_is_and_where_it_is_said_that_one_can()
-> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    is_used(&api).await?;
    ensure!(!api.log().contains(UNNAMED), "{}", api.log());

    let database = stack::shared().await?.database("named").await?;
    let Some((_pooler, url)) = PgBouncer::with_prepared_statements(&database.url).await? else {
        return Ok(());
    };
    let settings = ["--customer-check", "off", "--database-prepared-statements", "on"];
    let services =
        [OrderApi::launch(&url, &settings).await?, OrderApi::launch(&url, &settings).await?];
    for api in &services {
        api.ready().await?;
        ensure!(!api.log().contains(UNNAMED), "{}", api.log());
    }
    try_join_all(services.iter().map(is_used)).await.map(drop)
}

#[tokio::test]
async fn a_customer_service_works_behind_a_pooler() -> anyhow::Result<()> {
    let database = stack::shared().await?.database("pooled").await?;
    let (_pooler, url) = PgBouncer::before(&database.url).await?;
    migrated("customer-service", &database, &url).await?;
    let api = CustomerApi::start(&url, &["--seed-customers", "true"]).await?;
    let client = async |number: u32| {
        for round in 0..10 {
            let made = api.create(&format!("Ana {number} {round}")).await?;
            let path = format!("/api/customers/{}", made["id"].as_str().unwrap_or_default());
            assert_eq!(api.get(&path).await?.status(), 200);
            assert_eq!(api.get("/api/customers?limit=3").await?.status(), 200);
        }
        anyhow::Ok(())
    };
    try_join_all((0..8).map(client)).await?;
    assert_eq!(count(&connect(&database.url).await?, "customers").await?, 83);
    Ok(())
}

/// The server terminates its sessions, as at a restart.
#[tokio::test]
async fn a_pooler_that_loses_its_server_is_found_again() -> anyhow::Result<()> {
    let database = stack::shared().await?.database("pooled").await?;
    let (_pooler, url) = PgBouncer::before(&database.url).await?;
    let api = OrderApi::launch(&url, &["--customer-check", "off"]).await?;
    api.ready().await?;
    is_used(&api).await?;
    let sql = connect(&database.url).await?;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for _ in 0..3 {
        sql.query_one(end, &[]).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        pipeline_tests::outbox::eventually("orders are accepted again", async || {
            Ok(api.post(&order()).send().await?.status() == 201)
        })
        .await?;
    }
    is_used(&api).await
}

/// `PgBouncer` 1.18 crashes if the connection of a cancel request is closed before the request is
/// handled.
#[tokio::test]
async fn statements_whose_time_is_over_and_a_stop_do_not_harm_the_pooler() -> anyhow::Result<()> {
    let database = stack::shared().await?.database("pooled").await?;
    let (pooler, url) = PgBouncer::before(&database.url).await?;
    let settings = ["--customer-check", "off", "--database-statement-timeout", "200ms"];
    let api = OrderApi::launch(&url, &settings).await?;
    api.ready().await?;
    let mut sql = connect(&database.url).await?;
    for _ in 0..15 {
        let lock = sql.transaction().await?;
        lock.batch_execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await?;
        let lists = try_join_all((0..4).map(|_| api.get("/api/orders"))).await?;
        ensure!(lists.iter().all(|answer| answer.status() == 503), "{lists:?}");
        lock.rollback().await?;
    }
    let lock = sql.transaction().await?;
    lock.batch_execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await?;
    let client = send_request(&api.url, "GET", "/api/orders", None).await?;
    let watching = connect(&database.url).await?;
    until_waiting(&watching, "Lock", 1).await?;
    drop(client);
    api.stop().await?;
    assert_eq!(waiting_for(&watching, "Lock").await?, 0, "left on the server");
    lock.rollback().await?;
    let log = pooler.log();
    // Such a request names no session.
    let closed_early = |line: &str| line.contains("(nouser)") && line.contains("unexpected eof");
    ensure!(!log.contains("FATAL") && !log.lines().any(closed_early), "{log}");
    connect(&url).await?.simple_query("SELECT 1").await?;
    Ok(())
}

#[tokio::test]
async fn a_consumer_says_that_it_needs_a_session_of_its_own() -> anyhow::Result<()> {
    let servers = stack::shared().await?;
    let database = servers.database("pooled").await?;
    let broker = servers.vhost("pooled").await?;
    migrated("customer-service", &database, &database.url).await?;
    let (_in_transactions, url) = PgBouncer::before(&database.url).await?;
    let consumer = start_consumer(&url, &broker.amqp_url).await?;
    let said = consumer.wait_for_line("postgresql is not reachable", PATIENCE).await?;
    ensure!(said.contains("pool_mode=session"), "{said}");
    consumer.sigkill()?;

    let (_in_sessions, url) = PgBouncer::in_session_mode(&database.url).await?;
    ready(&start_consumer(&url, &broker.amqp_url).await?).await
}

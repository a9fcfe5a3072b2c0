//! Graceful shutdown: the programs finish what is in flight, and are not ready meanwhile.

use std::time::{Duration, Instant};

use pipeline_tests::blocked_consumer::{BlockAt, block_transactions, unblock, until_blocked};
use pipeline_tests::blocked_order::until_order_blocked;
use pipeline_tests::consumer_fixture::{ConsumerFixture, orders_of};
use pipeline_tests::order_api::order;
use pipeline_tests::outbox::eventually;
use pipeline_tests::pipeline::{PATIENCE, address, connect, ready};
use pipeline_tests::raw_http::{connect_to, read_slowly, reader};
use pipeline_tests::readiness::readiness;
use stack::{Database, Service};

/// A service with an open API and a reachable database.
async fn serve(
    program: &str,
    role: &str,
    more: &[(&str, &str)],
) -> anyhow::Result<(Database, Service)> {
    let database = stack::shared().await?.database("stopping").await?;
    let usual = [
        ("DATABASE_URL", database.url.as_str()),
        ("CUSTOMER_CHECK", "off"),
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("OPS_ADDR", "127.0.0.1:0"),
    ];
    let settings = usual.iter().chain(more).copied();
    let service = Service::spawn(stack::binary(program).await?, [role], settings).await?;
    ready(&service).await?;
    Ok((database, service))
}

/// The status of `/readyz`; `None` if the port is closed.
async fn readyz(ops_url: &str) -> Option<u16> {
    let answer = stack::http_client().ok()?.get(format!("{ops_url}/readyz")).send().await.ok()?;
    Some(answer.status().as_u16())
}

#[tokio::test]
async fn an_answer_that_is_read_slowly_is_sent_to_its_end() -> anyhow::Result<()> {
    for (program, role) in [("order-service", "serve"), ("customer-service", "api")] {
        let (_database, service) = serve(program, role, &[]).await?;
        let url = address(&service, "HTTP port is open").await?;
        let page = stack::http_client()?.get(format!("{url}/docs")).send().await?.bytes().await?;
        let mut stream = reader(&url, "/docs", 65_536).await?;
        let read =
            read_slowly(&mut stream, 25_000, Duration::from_millis(50), || service.sigterm());
        assert!(read.await? == page, "{program}");
        let status = service.wait_exit(PATIENCE).await?;
        assert!(status.success(), "{status}: {}", service.last_lines());
    }
    Ok(())
}

#[tokio::test]
async fn a_service_is_not_ready_from_the_stop_to_its_end() -> anyhow::Result<()> {
    let settings = [("DATABASE_STATEMENT_TIMEOUT", "60s")];
    let (database, service) = serve("order-service", "serve", &settings).await?;
    let url = address(&service, "HTTP port is open").await?;
    let ops_url = address(&service, "operations port is open").await?;
    let mut sql = connect(&database.url).await?;
    let lock = sql.transaction().await?;
    lock.batch_execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await?;
    let post = stack::http_client()?.post(format!("{url}/api/orders")).json(&order());
    let in_flight = tokio::spawn(post.send());
    until_order_blocked(&lock).await?;
    assert_eq!(readyz(&ops_url).await, Some(200));

    service.sigterm()?;
    eventually("the API takes no connection", async || Ok(connect_to(&url).await.is_err())).await?;
    assert_eq!(readyz(&ops_url).await, Some(503));
    let told = readiness(&service).await?;
    assert_eq!(told["ready"], false);
    assert_eq!(told["dependencies"]["postgresql"]["up"], true);
    assert!(told["notes"]["process"].as_str().is_some_and(|note| note.contains("stop")), "{told}");
    lock.rollback().await?;
    assert_eq!(in_flight.await??.status(), 201);
    while let Some(status) = readyz(&ops_url).await {
        assert_eq!(status, 503);
    }
    assert!(service.wait_exit(PATIENCE).await?.success(), "{}", service.last_lines());
    Ok(())
}

#[tokio::test]
async fn a_service_accepts_for_the_delay_though_it_is_not_ready() -> anyhow::Result<()> {
    let delay = Duration::from_secs(8);
    for (program, role) in [("order-service", "serve"), ("customer-service", "api")] {
        // The grace period begins after the delay.
        let settings = [("SHUTDOWN_DELAY", "8s"), ("SHUTDOWN_GRACE", "2s")];
        let (_database, service) = serve(program, role, &settings).await?;
        let url = address(&service, "HTTP port is open").await?;
        let ops_url = address(&service, "operations port is open").await?;
        let begun = Instant::now();
        service.sigterm()?;
        let unready = async || Ok(readyz(&ops_url).await == Some(503));
        eventually("it is not ready", unready).await?;
        let path = if program == "order-service" { "/api/orders" } else { "/api/customers" };
        let answer = stack::http_client()?.get(format!("{url}{path}")).send().await?;
        assert_eq!(answer.status(), 200, "{program}");
        assert!(begun.elapsed() < delay, "too slow a machine to tell");
        eventually("it ends", async || Ok(connect_to(&url).await.is_err())).await?;
        assert!(begun.elapsed() >= delay, "{program} ended {:?} after SIGTERM", begun.elapsed());
        assert!(service.wait_exit(PATIENCE).await?.success(), "{}", service.last_lines());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_stops_is_not_ready_while_it_finishes_its_batch() -> anyhow::Result<()> {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    block_transactions(&fixture.sql, BlockAt::Count, &[customer]).await?;
    let settings = [("DATABASE_STATEMENT_TIMEOUT", "60s")];
    let service = fixture.consumer_process(&settings).await?;
    ready(&service).await?;
    fixture.publish_all(orders_of(1, customer)).await?;
    until_blocked(&fixture.sql).await?;
    service.sigterm()?;
    let unready = async || Ok(readiness(&service).await?["ready"] == false);
    eventually("it is not ready", unready).await?;
    let told = readiness(&service).await?;
    assert_eq!(told["dependencies"]["postgresql"]["up"], true, "{told}");
    unblock(&fixture.sql).await?;
    assert!(service.wait_exit(PATIENCE).await?.success(), "{}", service.last_lines());
    fixture.counted(customer, 1).await?;
    Ok(())
}

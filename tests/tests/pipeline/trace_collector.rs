//! A trace collector that is down, late, silent or refusing: only traces are lost.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use pipeline_tests::closed_port::ClosedPort;
use pipeline_tests::collector::{CollectorBehaviour, TraceCollector};
use pipeline_tests::order_api::{accepted, order};
use pipeline_tests::outbox::{Outbox, eventually};
use pipeline_tests::pipeline::{PATIENCE, address, ready};
use stack::Service;

/// More than the capacity of the span queue.
const EVENTS: i32 = 5_000;

/// Far less than waiting for a collector that never answers.
const PROMPTLY: Duration = Duration::from_secs(8);

/// A relay that exports to `collector`, and has logged `says` about it.
async fn relay(outbox: &Outbox, collector: &str, says: &str) -> anyhow::Result<Service> {
    outbox.queue("all", "#").await?;
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", collector);
    let relay = outbox.relay_process(&[endpoint, ("OTEL_BSP_SCHEDULE_DELAY", "10")]).await?;
    relay.wait_for_line(says, PATIENCE).await?;
    Ok(relay)
}

async fn publishes_all(outbox: &Outbox) -> anyhow::Result<()> {
    let add = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
               SELECT 'order', n::text, 'order.created', '{}' FROM generate_series(1, $1) AS n";
    outbox.sql.execute(add, &[&EVENTS]).await?;
    outbox.all_published().await?;
    assert_eq!(outbox.depth("all").await?, EVENTS.unsigned_abs(), "each of them once");
    Ok(())
}

async fn stops(relay: &Service) -> anyhow::Result<()> {
    relay.sigterm()?;
    let asked = Instant::now();
    let status = relay.wait_exit(PATIENCE).await?;
    assert!(asked.elapsed() < PROMPTLY, "{:?}: {}", asked.elapsed(), relay.last_lines());
    assert!(status.success(), "{}", relay.last_lines());
    Ok(())
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_up_no_event_and_no_stop() -> anyhow::Result<()> {
    let collector = TraceCollector::start(CollectorBehaviour::Silent).await?;
    let outbox = Outbox::new().await?;
    let relay = relay(&outbox, &collector.url, "traces are exported").await?;
    publishes_all(&outbox).await?;
    relay.wait_for_line("dropped a Span", PATIENCE).await?;
    stops(&relay).await
}

#[tokio::test]
async fn a_collector_that_is_away_holds_up_no_event_and_no_stop() -> anyhow::Result<()> {
    let closed = ClosedPort::reserve()?;
    let nowhere = format!("http://{}", closed.address());
    let outbox = Outbox::new().await?;
    let relay = relay(&outbox, &nowhere, "no traces are exported until there is one").await?;
    publishes_all(&outbox).await?;
    stops(&relay).await
}

#[tokio::test]
async fn a_collector_that_refuses_is_told_of_once_and_holds_up_no_event() -> anyhow::Result<()> {
    let collector = TraceCollector::start(CollectorBehaviour::Refuses(404)).await?;
    let outbox = Outbox::new().await?;
    let relay = relay(&outbox, &collector.url, "traces are exported").await?;
    publishes_all(&outbox).await?;
    // It is retried repeatedly, and refuses each time.
    eventually("it has refused three times", async || {
        outbox.add("more", "order.created").await?;
        Ok(collector.asked() >= 3)
    })
    .await?;
    stops(&relay).await?;
    let log = relay.log();
    let told =
        log.lines().filter(|line| line.contains("traces are lost") || line.contains("code: 404"));
    assert_eq!(told.count(), 1, "{log}");
    Ok(())
}

async fn order_service(
    database: &str,
    collector: &str,
    more: &[(&str, &str)],
) -> anyhow::Result<(Service, String)> {
    let usual = [
        ("DATABASE_URL", database),
        ("CUSTOMER_CHECK", "off"),
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("OPS_ADDR", "127.0.0.1:0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector),
    ];
    let program = stack::binary("order-service").await?;
    let settings = usual.iter().chain(more).copied();
    let service = Service::spawn(program, ["serve"], settings).await?;
    let url = format!("{}/api/orders", address(&service, "HTTP port is open").await?);
    ready(&service).await?;
    Ok((service, url))
}

#[tokio::test]
async fn a_collector_that_comes_late_gets_what_happens_from_then_on() -> anyhow::Result<()> {
    let database = stack::shared().await?.database("orders").await?;
    let place = format!("127.0.0.1:{}", stack::free_port()?);
    let (service, url) = order_service(&database.url, &format!("http://{place}"), &[]).await?;
    service.wait_for_line("no traces are exported until there is one", PATIENCE).await?;
    let http = stack::http_client()?;
    accepted(http.post(&url).json(&order()).send().await?).await?;

    let collector = TraceCollector::start_at(&place, CollectorBehaviour::Kind).await?;
    let begun = Instant::now();
    while collector.so_far().is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{}", service.last_lines());
        accepted(http.post(&url).json(&order()).send().await?).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    service.wait_for_line("traces are exported", PATIENCE).await?;
    Ok(())
}

#[tokio::test]
async fn the_last_spans_leave_before_the_process_ends() -> anyhow::Result<()> {
    let collector = TraceCollector::start(CollectorBehaviour::Kind).await?;
    let database = stack::shared().await?.database("orders").await?;
    let (service, url) = order_service(&database.url, &collector.url, &[]).await?;
    service.wait_for_line("traces are exported", PATIENCE).await?;
    // Spans are exported every five seconds; the shutdown is sooner.
    let answer = stack::http_client()?.post(&url).json(&order()).send().await?;
    accepted(answer).await?;
    service.sigterm()?;
    assert!(service.wait_exit(PATIENCE).await?.success(), "{}", service.last_lines());
    assert!(collector.so_far().iter().any(|span| span.name == "POST /api/orders"));
    Ok(())
}

#[tokio::test]
async fn a_collector_is_told_its_key_and_nobody_else_is() -> anyhow::Result<()> {
    let collector = TraceCollector::start(CollectorBehaviour::Wants("hunter2")).await?;
    let database = stack::shared().await?.database("orders").await?;
    let file = stack::stack_dir()?.join(format!("trace-headers-{}", std::process::id()));
    stack::write_private(&file, "api-key=hunter%32\n")?;
    for given in [
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter%32"),
        ("OTEL_EXPORTER_OTLP_HEADERS_FILE", file.to_str().context("a path")?),
    ] {
        let before = collector.so_far().len();
        let settings = [given, ("RUST_LOG", "trace")];
        let (service, url) = order_service(&database.url, &collector.url, &settings).await?;
        service.wait_for_line("traces are exported", PATIENCE).await?;
        accepted(stack::http_client()?.post(&url).json(&order()).send().await?).await?;
        stops(&service).await?;
        assert!(collector.so_far().len() > before, "{given:?}: {}", service.last_lines());
        assert!(!service.log().contains("hunter"), "{given:?}: {}", service.log());
    }
    std::fs::remove_file(&file)?;
    Ok(())
}

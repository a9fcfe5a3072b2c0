//! What the operations ports of relay and consumer report while no broker is reachable.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use pipeline_tests::closed_port::ClosedPort;
use pipeline_tests::consumer_fixture::until;
use pipeline_tests::metrics::shows;
use pipeline_tests::outbox::{Outbox, PATIENCE, eventually};
use pipeline_tests::pipeline::{address, start_consumer, start_relay};
use pipeline_tests::readiness::readiness;
use pipeline_tests::relay_role::relay_url;
use pipeline_tests::unreachable_address::UnreachableAddress;
use serde_json::Value;
use stack::{RabbitServer, Service};

/// Waits until the database is up and connecting to the broker has failed, and checks the report.
async fn names_the_broker_alone(service: &Service) -> anyhow::Result<()> {
    let url = address(service, "operations port is open").await?;
    let http = stack::http_client()?;
    let (status, told) = until(async || {
        let answer = http.get(format!("{url}/readyz")).send().await?;
        let (status, told) = (answer.status(), answer.json::<Value>().await?);
        let dependencies = &told["dependencies"];
        let tried = dependencies["rabbitmq"]["reason"] != "not connected yet";
        Ok((tried && dependencies["postgresql"]["up"] == true).then_some((status, told)))
    })
    .await?;
    assert_eq!(status, 503, "{told}");
    assert_eq!(told["ready"], false, "{told}");
    let rabbitmq = &told["dependencies"]["rabbitmq"];
    assert_eq!(rabbitmq["up"], false, "{told}");
    assert_eq!(rabbitmq["need"], "required", "{told}");
    let reason = rabbitmq["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("refused"), "{told}");

    // The process is healthy: a restart would not help.
    let alive = http.get(format!("{url}/livez")).send().await?;
    assert_eq!(alive.status(), 200);
    assert!(service.is_running());
    Ok(())
}

#[tokio::test]
async fn a_relay_without_a_broker_is_alive_and_names_what_is_missing() -> anyhow::Result<()> {
    let database = stack::shared().await?.database("outbox").await?;
    let sql = pipeline_tests::pipeline::connect(&database.url).await?;
    sql.batch_execute(include_str!("../../../sql/outbox/schema.sql")).await?;
    let url = relay_url(&database, &sql).await?;
    let closed = ClosedPort::reserve()?;
    let broker = format!("amqp://{}", closed.address());
    names_the_broker_alone(&start_relay(&url, &broker).await?).await
}

#[tokio::test]
async fn an_outage_of_the_broker_is_none_of_the_database() -> anyhow::Result<()> {
    let mut broker = RabbitServer::start_temporary().await?;
    let database = stack::shared().await?.database("outbox").await?;
    let mut outbox = Outbox::on(database, broker.vhost("outbox").await?).await?;
    outbox.queue("all", "#").await?;
    let relay = outbox.relay_process(&[]).await?;
    let connected = "dependency_connects_total{dependency=\"postgresql\"} 1";
    outbox.add("7", "order.created").await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    broker.stop_gracefully().await?;
    relay.wait_for_line("rabbitmq is not reachable", PATIENCE).await?;
    // The server ends a working relay's session after 12 s of silence.
    let end = Instant::now() + Duration::from_secs(16);
    while Instant::now() < end {
        let told = readiness(&relay).await?;
        assert_eq!(told["dependencies"]["postgresql"]["up"], true, "{told}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    shows(&relay, &[connected]).await?;
    broker.start().await?;
    outbox.reconnect().await?;
    outbox.add("7", "order.shipped").await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    shows(&relay, &[connected]).await
}

#[tokio::test]
async fn a_consumer_without_a_broker_is_alive_and_names_what_is_missing() -> anyhow::Result<()> {
    let database = stack::shared().await?.database("customers").await?;
    let closed = ClosedPort::reserve()?;
    let broker = format!("amqp://{}", closed.address());
    names_the_broker_alone(&start_consumer(&database.url, &broker).await?).await
}

#[tokio::test]
async fn an_address_that_drops_everything_is_left_for_the_next_broker() -> anyhow::Result<()> {
    let nobody = UnreachableAddress::listens().await?;
    let mut outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.vhost.amqp_url = format!("{},{}", nobody.broker_url(), outbox.vhost.amqp_url);
    let relay = outbox.relay_process(&[]).await?;
    outbox.add("7", "order.created").await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    assert_eq!(readiness(&relay).await?["ready"], true);
    Ok(())
}

#[tokio::test]
async fn a_relay_whose_broker_drops_everything_says_so_and_leaves_its_lanes_to_others()
-> anyhow::Result<()> {
    let nobody = UnreachableAddress::listens().await?;
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let url = format!("{}?connection_timeout=2000", nobody.broker_url());
    let waits = outbox.relay_process(&[("RABBITMQ_URL", url.as_str())]).await?;
    let (_well, pid) = outbox.joined_by(&[]).await.with_context(|| waits.log())?;
    let mut told = Value::Null;
    eventually("it says that nobody answers", async || {
        told = readiness(&waits).await?;
        let reason = told["dependencies"]["rabbitmq"]["reason"].as_str().unwrap_or_default();
        Ok(reason.contains("the broker does not answer within 2s"))
    })
    .await
    .with_context(|| waits.log())?;
    assert_eq!(told["ready"], false, "{told}");
    assert_eq!(told["dependencies"]["postgresql"]["up"], true, "{told}");
    outbox.every_lane_is_served().await?;
    let shares = outbox.shares().await?;
    assert_eq!(shares.into_keys().collect::<Vec<_>>(), [pid]);
    Ok(())
}

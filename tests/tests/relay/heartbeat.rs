//! Heartbeats between relay and broker on an idle connection
//! (<https://www.rabbitmq.com/docs/heartbeats>).

use std::time::Duration;

use anyhow::Context as _;
use pipeline_tests::outbox::{Outbox, PATIENCE};
use pipeline_tests::paused_process::PausedProcess;

/// A relay connected to the broker with a heartbeat of one second.
async fn relay_of(outbox: &mut Outbox) -> anyhow::Result<stack::Service> {
    outbox.queue("all", "#").await?;
    outbox.vhost.amqp_url += "?heartbeat=1";
    let relay = outbox.relay_process(&[]).await?;
    outbox.add("7", "order.created").await?;
    outbox.all_published().await?;
    Ok(relay)
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_published_is_kept() -> anyhow::Result<()> {
    let mut outbox = Outbox::new().await?;
    let relay = relay_of(&mut outbox).await?;
    // The broker closes a connection after two seconds without a heartbeat, and so does the relay.
    tokio::time::sleep(Duration::from_secs(6)).await;
    outbox.add("7", "order.shipped").await?;
    outbox.all_published().await?;
    assert!(!relay.log().contains("rabbitmq is not reachable"), "{}", relay.log());
    Ok(())
}

#[tokio::test]
async fn a_broker_that_gives_no_sign_of_life_is_given_up_and_found_again() -> anyhow::Result<()> {
    let broker = stack::RabbitServer::start_temporary().await?;
    let database = stack::shared().await?.database("outbox").await?;
    let mut outbox = Outbox::on(database, broker.vhost("outbox").await?).await?;
    let relay = relay_of(&mut outbox).await?;
    let frozen = PausedProcess::new(broker.process().context("it runs")?.clone())?;
    relay.wait_for_line("the broker gave no sign of life for 2s", PATIENCE).await?;
    frozen.resume()?;
    outbox.add("7", "order.shipped").await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    assert_eq!(outbox.depth("all").await?, 2, "the queue has both");
    Ok(())
}

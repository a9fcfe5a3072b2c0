//! A server that accepts connections and never answers: the relay waits for it in the background,
//! and never in a step.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use outbox_relay::TickOutcome;
use pipeline_tests::outbox::{Outbox, PATIENCE, Stepped};
use pipeline_tests::proxy::{Faults, Proxy};
use pipeline_tests::readiness::readiness;
use pipeline_tests::silent_server::SilentServer;

/// The longest time of a step with a healthy database, also on a busy machine.
const A_TURN: Duration = Duration::from_secs(2);

/// A relay tries to connect within this time.
const KNOCKING: Duration = Duration::from_secs(1);

async fn never_waits(relay: &mut Stepped, expected: TickOutcome) -> anyhow::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < KNOCKING {
        let turn = Instant::now();
        let outcome = Box::pin(relay.relay.tick()).await;
        ensure!(turn.elapsed() < A_TURN, "a turn took {:?}", turn.elapsed());
        ensure!(outcome == expected, "{outcome:?}: {:?}", relay.health.statuses());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_broker_that_says_nothing_holds_up_no_turn() -> anyhow::Result<()> {
    let mut outbox = Outbox::new().await?;
    let silent = SilentServer::start().await?;
    outbox.vhost.amqp_url = format!("amqp://{}", silent.address());
    outbox.add("7", "order.created").await?;
    let mut relay = outbox.relay(&[])?;
    never_waits(&mut relay, TickOutcome::Unavailable).await?;
    let statuses = relay.health.statuses();
    assert!(statuses["postgresql"].up, "the database is reached meanwhile: {statuses:?}");
    assert!(!statuses["rabbitmq"].up, "{statuses:?}");
    Ok(())
}

#[tokio::test]
async fn a_database_that_says_nothing_holds_up_no_turn() -> anyhow::Result<()> {
    let mut outbox = Outbox::new().await?;
    let silent = SilentServer::start().await?;
    outbox.relay_url = format!("postgres://u:p@{}/d", silent.address());
    let mut relay = outbox.relay(&[])?;
    never_waits(&mut relay, TickOutcome::Unavailable).await?;
    let statuses = relay.health.statuses();
    assert!(statuses["rabbitmq"].up, "the broker is reached meanwhile: {statuses:?}");
    assert!(!statuses["postgresql"].up, "{statuses:?}");
    Ok(())
}

/// Longer than a test may take, so that a connection attempt does not time out.
const PATIENT: &str = "?connection_timeout=600000";

#[tokio::test]
async fn while_a_relay_waits_for_a_silent_broker_another_one_serves_its_lanes() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let (proxy, url) = Proxy::before(&outbox.vhost.amqp_url)?;
    let url = format!("{url}{PATIENT}");
    let (first, pid) = outbox.joined_by(&[("RABBITMQ_URL", url.as_str())]).await?;
    let _second = outbox.joined_by(&[]).await?;
    outbox.every_lane_is_served().await?;

    // From now on connections are accepted and get no answer.
    proxy.to_client(Faults { hold_after: Some(0), ..Faults::default() });
    proxy.reset();
    first.wait_for_line("rabbitmq is not reachable", PATIENCE).await?;
    outbox.every_lane_is_served().await.with_context(|| first.log())?;
    let shares = outbox.shared_among(1).await.with_context(|| first.log())?;
    ensure!(!shares.contains_key(&pid), "{shares:?}");
    let told = readiness(&first).await?;
    assert_eq!(told["ready"], false, "{told}");
    assert_eq!(told["dependencies"]["postgresql"]["up"], true, "{told}");

    proxy.to_client(Faults::default());
    outbox.shared_among(2).await.with_context(|| first.log())?;
    outbox.every_lane_is_served().await
}

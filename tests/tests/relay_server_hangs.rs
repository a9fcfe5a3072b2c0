//! A server that takes a connection and says nothing: the relay waits for it beside its turns, and never in one.

use std::time::{Duration, Instant};

use anyhow::ensure;
use outbox_relay::Outcome;
use pipeline_tests::outbox::{Outbox, Stepped};
use pipeline_tests::silent_server::SilentServer;

/// A turn waits for nothing but answers of a database that is well, also on a busy machine.
const A_TURN: Duration = Duration::from_secs(2);

/// A relay knocks at a server within this time.
const KNOCKING: Duration = Duration::from_secs(1);

async fn never_waits(relay: &mut Stepped, expected: Outcome) -> anyhow::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < KNOCKING {
        let turn = Instant::now();
        let outcome = Box::pin(relay.relay.run_once()).await;
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
    never_waits(&mut relay, Outcome::Unavailable).await?;
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
    never_waits(&mut relay, Outcome::Unavailable).await?;
    let statuses = relay.health.statuses();
    assert!(statuses["rabbitmq"].up, "the broker is reached meanwhile: {statuses:?}");
    assert!(!statuses["postgresql"].up, "{statuses:?}");
    Ok(())
}

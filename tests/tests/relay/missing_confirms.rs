//! A broker, or one of its queues, that accepts messages without confirming them: few are sent
//! again, and others are not delayed.

use std::collections::HashMap;

use anyhow::ensure;
use pipeline_tests::fake_broker::{AFFECTED_TYPE, BrokerBehaviour, FakeBroker};
use pipeline_tests::outbox::{Outbox, eventually};

const IMPATIENT: [&str; 2] = ["--relay-confirm-timeout", "2s"];

/// An outbox whose relay publishes to `broker` only.
async fn outbox_before(broker: &FakeBroker) -> anyhow::Result<Outbox> {
    let mut outbox = Outbox::new().await?;
    outbox.vhost.amqp_url = broker.url();
    Ok(outbox)
}

/// Adds this many events of a type, each of a separate aggregate.
async fn add(outbox: &Outbox, events: i32, event_type: &str) -> anyhow::Result<()> {
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                  SELECT 'order', gen_random_uuid(), $2, '{}' FROM generate_series(1, $1)";
    outbox.sql.execute(insert, &[&events, &event_type]).await?;
    Ok(())
}

#[tokio::test]
async fn after_a_confirm_timeout_one_message_is_sent_at_a_time_until_it_is_confirmed()
-> anyhow::Result<()> {
    let broker = FakeBroker::start(BrokerBehaviour::NeverConfirms)?;
    let outbox = outbox_before(&broker).await?;
    add(&outbox, 300, "order.created").await?;
    // Four windows at first.
    let mut relay = outbox.relay(&[&IMPATIENT[..], &["--relay-window", "50"]].concat())?;
    let several = eventually("several confirms did not come", async || {
        Ok(broker.messages().last().is_some_and(|last| last.connection > 6))
    });
    relay.work_until(several).await?;
    let messages = broker.messages();
    let at_first = messages.iter().filter(|message| message.connection <= 2).count();
    ensure!((51..=200).contains(&at_first), "{at_first} in the first windows");
    let mut again = HashMap::<usize, usize>::new();
    for message in messages.iter().filter(|message| message.connection > 2) {
        // Two connections are opened at a time.
        *again.entry(message.connection.div_ceil(2)).or_default() += 1;
    }
    ensure!(again.values().all(|messages| *messages == 1), "{again:?}");

    broker.set_behaviour(BrokerBehaviour::Confirms);
    relay.work_until(outbox.all_published()).await?;
    let copies = broker.messages().len() - 300;
    ensure!(copies < 200 + 20, "{copies} copies");
    Ok(())
}

#[tokio::test]
async fn a_queue_without_a_leader_holds_up_no_other_and_gets_few_copies() -> anyhow::Result<()> {
    let broker = FakeBroker::start(BrokerBehaviour::ConfirmsOthers)?;
    let outbox = outbox_before(&broker).await?;
    let mut relay = outbox.relay(&IMPATIENT)?;
    add(&outbox, 200, AFFECTED_TYPE).await?;
    for _ in 0..3 {
        add(&outbox, 300, "order.created").await?;
        let others =
            eventually("the others are published", async || Ok(outbox.pending().await? == 200));
        relay.work_until(others).await?;
    }
    let before = broker.connections();
    let timeouts =
        eventually("several confirms did not come", async || Ok(broker.connections() > before + 6));
    relay.work_until(timeouts).await?;
    let affected =
        broker.messages().iter().filter(|message| message.routing_key == AFFECTED_TYPE).count();
    // One per timeout, of which there was one per two connections.
    ensure!(affected <= 200 + broker.connections().div_ceil(2), "{affected} messages");

    broker.set_behaviour(BrokerBehaviour::Confirms);
    relay.work_until(outbox.all_published()).await
}

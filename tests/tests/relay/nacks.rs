//! The broker rejects a message for now (`basic.nack`): the event waits, and is published once the
//! broker accepts it.

use std::collections::HashSet;

use anyhow::Context as _;
use lapin::options::{QueueDeclareOptions, QueuePurgeOptions};
use lapin::types::{AMQPValue, FieldTable};
use pipeline_tests::outbox::{Outbox, event_id, eventually};
use stack::{Management, RabbitCluster, Service};

/// Waits until publishing the event has failed.
async fn tried_in_vain(outbox: &Outbox, relay: &Service) -> anyhow::Result<()> {
    eventually("it was tried", async || {
        let failed = "SELECT count(*) FROM outbox WHERE attempts > 0 AND last_error LIKE '%(nack)'";
        // RabbitMQ 4 sends no reply instead.
        let late = relay.log().contains("did not confirm");
        Ok(late || outbox.count(failed, &[]).await? > 0)
    })
    .await
    .with_context(|| relay.log())
}

#[tokio::test]
async fn an_event_that_a_full_queue_refuses_waits_until_there_is_room() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let mut full = FieldTable::default();
    full.insert("x-max-length".into(), AMQPValue::LongInt(1));
    full.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    outbox.queue("unused", "nothing").await?;
    outbox.channel.queue_declare("one".into(), durable, full).await?;
    outbox.bind("one", "#").await?;
    outbox.add("7", "order.created").await?;
    let relay = outbox.relay_process(&[("RELAY_BACKOFF_MAX", "1s")]).await?;
    outbox.all_published().await?;
    outbox.add("7", "order.shipped").await?;
    tried_in_vain(&outbox, &relay).await?;
    assert_eq!(outbox.pending().await?, 1);
    outbox.channel.queue_purge("one".into(), QueuePurgeOptions::default()).await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    assert_eq!(outbox.take_all("one").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn events_that_came_while_the_queue_had_no_leader_leave_once_it_has_another_one()
-> anyhow::Result<()> {
    let mut cluster = RabbitCluster::start_temporary().await?;
    let database = stack::shared().await?.database("outbox").await?;
    let mut outbox = Outbox::on(database, cluster.nodes[0].vhost("outbox").await?).await?;
    outbox.queue("all", "#").await?;
    let management = Management::new(&outbox.vhost.management_url)?;
    let queue = management.get(&format!("/api/queues/{}/all", outbox.vhost.name)).await?;
    let queue = queue.context("the queue is there")?;
    assert_eq!(queue["members"].as_array().map(Vec::len), Some(3), "{queue}");
    let leader = queue["leader"].as_str().and_then(|leader| cluster.index_of(leader));
    let leader = leader.with_context(|| format!("no leader in {queue}"))?;
    let (follower, alone) = ((leader + 1) % 3, (leader + 2) % 3);

    cluster.nodes[leader].kill().await?;
    cluster.nodes[follower].kill().await?;
    outbox.add("7", "order.created").await?;
    let url = cluster.nodes[alone].access().amqp_url(&outbox.vhost.name);
    let settings = [
        ("RABBITMQ_URL", url.as_str()),
        ("RELAY_BACKOFF_MAX", "1s"),
        ("RELAY_CONFIRM_TIMEOUT", "5s"),
    ];
    let relay = outbox.relay_process(&settings).await?;
    tried_in_vain(&outbox, &relay).await?;

    // Two of three can elect a leader. The old one stays down.
    cluster.nodes[follower].start().await?;
    outbox.all_published().await.with_context(|| relay.log())?;
    assert!(cluster.nodes[leader].process().is_none());
    outbox.vhost.amqp_url = url;
    outbox.reconnect().await?;
    let messages = outbox.take_all("all").await?;
    let ids = messages.iter().map(event_id).collect::<anyhow::Result<HashSet<_>>>()?;
    assert_eq!(ids, outbox.event_ids().await?, "the queue has it");
    Ok(())
}

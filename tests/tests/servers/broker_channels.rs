//! Unused channels are closed, and the relay works with few channels and connections where the
//! broker limits them (<https://www.rabbitmq.com/docs/user-limits>,
//! <https://www.rabbitmq.com/docs/vhosts#limits>).

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::types::{AMQPValue, FieldTable};
use amqp::BrokerUrl;
use amqp::{Channel, Connection, Message, content_header};
use anyhow::Context as _;
use pipeline_tests::fake_broker::{BrokerBehaviour, FakeBroker};
use pipeline_tests::outbox::{Outbox, eventually};
use serde_json::json;
use stack::Management;

const FRAME_MAX: u32 = 32 << 10;

async fn connect(url: &str) -> anyhow::Result<Connection> {
    let url: BrokerUrl = url.parse().map_err(anyhow::Error::msg)?;
    Connection::open(&url, "test", FRAME_MAX).await
}

#[tokio::test]
async fn a_channel_that_is_dropped_is_closed_at_the_broker_too() -> anyhow::Result<()> {
    // With a limit of one channel, fifty can be opened one after the other: each waits until the
    // previous one is closed.
    let vhost = stack::shared().await?.vhost("channels").await?;
    let connection = connect(&format!("{}?channel_max=1", vhost.amqp_url)).await?;
    for count in 0..50 {
        let channel = Channel::open(&connection).await.with_context(|| format!("{count}"))?;
        channel.confirm().await?;
    }
    let kept = Channel::open(&connection).await?;
    kept.confirm().await?;
    assert!(connection.ended().is_none() && kept.is_open());

    let broker = FakeBroker::start(BrokerBehaviour::Confirms)?;
    let connection = connect(&broker.url()).await?;
    for _ in 0..20 {
        drop(Channel::open(&connection).await?);
        // Dropped before it is open.
        tokio::select! {
            biased;
            _ = Channel::open(&connection) => (),
            () = tokio::task::yield_now() => (),
        }
    }
    eventually("all are closed", async || Ok(broker.open_channels() == 0)).await?;
    assert_eq!((connection.ended(), broker.connections()), (None, 1));
    Ok(())
}

#[tokio::test]
async fn a_connection_that_was_blocked_is_so_no_more_when_it_has_ended() -> anyhow::Result<()> {
    let broker = FakeBroker::start(BrokerBehaviour::BlocksAndFallsSilent)?;
    let connection = connect(&broker.url()).await?;
    let channel = Channel::open(&connection).await?;
    channel.confirm().await?;
    let message = Message {
        message_id: "7".to_owned(),
        exchange: None,
        routing_key: "order.created".into(),
        content_header: content_header(0, &AMQPProperties::default()),
        body: Vec::new().into(),
    };
    let (exchange, messages) = ("orders.events".into(), [message]);
    let (published, blocked) = tokio::join!(
        channel.publish(&exchange, &messages),
        eventually("it is blocked", async || Ok(connection.is_blocked())),
    );
    blocked?;
    let said = published.expect_err("nobody confirms it").to_string();
    assert!(said.contains("no sign of life for 2s"), "{said}");
    assert!(connection.ended().is_some() && !connection.is_blocked());
    Ok(())
}

/// RabbitMQ forwards acknowledgements to a quorum queue only up to a limit, and forgets the rest
/// when the channel ends.
#[tokio::test]
async fn no_message_comes_back_that_was_acknowledged_before_its_channel_was_closed()
-> anyhow::Result<()> {
    const MESSAGES: usize = 400;
    let vhost = stack::shared().await?.vhost("channels").await?;
    let connection = connect(&vhost.amqp_url).await?;
    for round in 0..20 {
        let queue = format!("queue-{round}");
        let channel = Channel::open(&connection).await?;
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        channel.declare_queue(&queue, quorum).await?;
        channel.confirm().await?;
        let message = |n: usize| Message {
            message_id: n.to_string(),
            exchange: None,
            routing_key: queue.as_str().into(),
            content_header: content_header(0, &AMQPProperties::default()),
            body: Vec::new().into(),
        };
        let messages: Vec<_> = (0..MESSAGES).map(message).collect();
        channel.publish(&"".into(), &messages).await?;

        channel.consume(&queue, 1000).await?;
        let mut tags = Vec::new();
        while tags.len() < MESSAGES {
            let arrived = channel.deliveries(MESSAGES, usize::MAX).await?;
            tags.extend(arrived.iter().map(|delivery| delivery.info.tag));
        }
        // Every other one, so that none can acknowledge multiple messages.
        let (acknowledged, kept): (Vec<_>, Vec<_>) = tags.iter().partition(|tag| *tag % 2 == 0);
        channel.acknowledge(&acknowledged).await.map_err(anyhow::Error::msg)?;
        channel.close().await?;

        let asking = Channel::open(&connection).await?;
        let mut waiting = 0;
        eventually("the others return", async || {
            waiting = usize::try_from(asking.depth(&queue).await?.messages)?;
            Ok(waiting >= kept.len())
        })
        .await?;
        assert_eq!(waiting, kept.len(), "in round {round}");
    }
    Ok(())
}

/// Publishes some events as a user with these limits, in a virtual host with a limit on
/// connections.
async fn publishes_within(
    connections: Option<u32>,
    channels: Option<u32>,
    in_vhost: Option<u32>,
    parameters: &str,
) -> anyhow::Result<()> {
    let mut outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let vhost = outbox.vhost.name.clone();
    let management = Management::new(&outbox.vhost.management_url)?;
    let user = format!("user-of-{vhost}");
    let login = json!({ "password": "secret", "tags": "" });
    management.put(&format!("/api/users/{user}"), &login).await?;
    let everything = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    management.put(&format!("/api/permissions/{vhost}/{user}"), &everything).await?;
    let user_limits = format!("/api/user-limits/{user}");
    for (limits, name, value) in [
        (&user_limits, "max-connections", connections),
        (&user_limits, "max-channels", channels),
        // The test has a connection as well.
        (&format!("/api/vhost-limits/{vhost}"), "max-connections", in_vhost.map(|most| most + 1)),
    ] {
        if let Some(value) = value {
            management.put(&format!("{limits}/{name}"), &json!({ "value": value })).await?;
        }
    }
    let (_, server) = outbox.vhost.amqp_url.split_once('@').context("a user")?;
    outbox.vhost.amqp_url = format!("amqp://{user}:secret@{server}{parameters}");
    for n in 0..200 {
        outbox.add(&n.to_string(), "order.created").await?;
    }
    // One that closes its channel, which must be reopened.
    outbox
        .sql
        .execute(r#"UPDATE outbox SET headers = '{"CC": "x"}' WHERE aggregate_id = '100'"#, &[])
        .await?;
    let mut relay = outbox.relay(&["--relay-backoff-min", "1h", "--relay-backoff-max", "1h"])?;
    let published = eventually("all but one are published", async || {
        let refused = "SELECT count(*) FROM outbox WHERE published_at IS NULL AND attempts > 0";
        Ok(outbox.pending().await? == 1 && outbox.count(refused, &[]).await? == 1)
    });
    let published = relay.work_until(published).await;
    let statuses = relay.health.statuses();
    drop(relay);
    management.delete(&format!("/api/users/{user}")).await?;
    published.with_context(|| format!("{statuses:?}"))
}

#[tokio::test]
async fn a_relay_that_may_have_one_connection_publishes() -> anyhow::Result<()> {
    publishes_within(Some(1), None, None, "").await?;
    publishes_within(None, None, Some(1), "").await
}

#[tokio::test]
async fn a_relay_that_may_have_two_channels_publishes() -> anyhow::Result<()> {
    publishes_within(None, Some(2), None, "").await?;
    publishes_within(Some(1), Some(2), None, "").await?;
    publishes_within(Some(1), None, None, "?channel_max=2").await?;
    publishes_within(None, None, None, "?channel_max=1").await
}

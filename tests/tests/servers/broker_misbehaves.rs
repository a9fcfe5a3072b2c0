//! A broker or network path that is faulty but not down: the relay reports the fault, and continues
//! with another broker or once the fault has ended.

use std::time::{Duration, Instant};

use anyhow::ensure;
use pipeline_tests::fake_broker::{BrokerBehaviour, FakeBroker};
use pipeline_tests::outbox::{Outbox, Stepped, eventually};
use pipeline_tests::proxy::{Faults, Proxy};

const BLOCKED: &str = "the broker has told publishers to wait (memory or disk alarm)";

/// The heartbeat on a connection to the real broker: one second.
const LIVELY: &str = "?heartbeat=1";

/// An outbox whose relay tries `first` before the real broker.
async fn outbox_behind(first: &str) -> anyhow::Result<Outbox> {
    let mut outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.vhost.amqp_url = format!("{first},{}{LIVELY}", outbox.vhost.amqp_url);
    Ok(outbox)
}

/// Adds this many events, each of a separate aggregate, with this many bytes of payload.
async fn add(outbox: &Outbox, events: i32, bytes: i32) -> anyhow::Result<()> {
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                  SELECT 'order', gen_random_uuid(), 'order.created', jsonb_build_object('text', repeat('x', $2))
                  FROM generate_series(1, $1)";
    outbox.sql.execute(insert, &[&events, &bytes]).await?;
    Ok(())
}

/// What `/readyz` reports about the broker while it is down.
fn trouble(relay: &Stepped) -> String {
    relay.health.statuses()["rabbitmq"].reason.clone().unwrap_or_default()
}

/// Steps until every event is published. Returns the distinct reports about the broker meanwhile.
async fn publish_all(outbox: &Outbox, relay: &mut Stepped) -> anyhow::Result<Vec<String>> {
    let health = relay.health.clone();
    let mut said = Vec::<String>::new();
    let done = eventually("every event is published", async || {
        let reason = health.statuses()["rabbitmq"].reason.clone().unwrap_or_default();
        if !said.contains(&reason) {
            said.push(reason);
        }
        Ok(outbox.pending().await? == 0)
    });
    relay.work_until(done).await?;
    Ok(said)
}

fn mentions(said: &[String], what: &str) -> bool {
    said.iter().any(|reason| reason.contains(what))
}

#[tokio::test]
async fn a_broker_that_blocks_and_falls_silent_is_left_within_the_confirm_timeout()
-> anyhow::Result<()> {
    // Windows that fit into the socket's buffers, and one whose end must wait to be written.
    for (events, bytes) in [(1, 10), (3000, 100), (1, 6_000_000)] {
        let broker = FakeBroker::start(BrokerBehaviour::BlocksAndFallsSilent)?;
        let outbox = outbox_behind(&broker.url()).await?;
        add(&outbox, events, bytes).await?;
        let mut relay = outbox.relay(&[])?;
        let begun = Instant::now();
        let said = publish_all(&outbox, &mut relay).await?;
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(30), "{events} of {bytes} bytes: {took:?}, {said:?}");
        assert!(mentions(&said, BLOCKED), "{said:?}");
        assert!(mentions(&said, "gave no sign of life for 2s"), "{said:?}");
        relay.until_idle().await?;
        assert!(relay.health.is_ready(), "{}", trouble(&relay));
        assert_eq!(outbox.take_all("all").await?.len(), usize::try_from(events)?);
    }
    Ok(())
}

#[tokio::test]
async fn a_broker_that_is_blocked_no_more_but_gone_is_not_called_blocked() -> anyhow::Result<()> {
    let broker = FakeBroker::start(BrokerBehaviour::BlocksAndFallsSilent)?;
    let mut outbox = Outbox::new().await?;
    outbox.vhost.amqp_url = broker.url();
    add(&outbox, 4, 6_000_000).await?;
    let mut relay = outbox.relay(&[])?;
    let health = relay.health.clone();
    let reason = || health.statuses()["rabbitmq"].reason.clone().unwrap_or_default();
    let gone = async {
        eventually("it is blocked", async || Ok(reason() == BLOCKED)).await?;
        broker.set_behaviour(BrokerBehaviour::Silent);
        eventually("it is gone", async || Ok(reason().contains("no sign of life"))).await?;
        // The time to find out that a new connection gets no answer either.
        eventually("it is tried again", async || Ok(reason().contains("does not answer"))).await
    };
    relay.work_until(gone).await?;
    ensure!(!reason().contains(BLOCKED), "{}", reason());
    Ok(())
}

#[tokio::test]
async fn a_broker_that_never_confirms_is_left_for_the_next_one() -> anyhow::Result<()> {
    for behaviour in [BrokerBehaviour::NeverConfirms, BrokerBehaviour::ReadsNothing] {
        let broker = FakeBroker::start(behaviour)?;
        let outbox = outbox_behind(&broker.url()).await?;
        add(&outbox, 1, 6_000_000).await?;
        add(&outbox, 20, 10).await?;
        let mut relay = outbox.relay(&["--relay-confirm-timeout", "2s"])?;
        let said = publish_all(&outbox, &mut relay).await?;
        assert!(mentions(&said, "did not confirm a window within 2s"), "{behaviour:?}: {said:?}");
        relay.until_idle().await?;
        assert!(relay.health.is_ready(), "{}", trouble(&relay));
    }
    Ok(())
}

#[tokio::test]
async fn a_broker_that_never_confirms_is_left_though_others_still_wait_for_it() -> anyhow::Result<()>
{
    let broker = FakeBroker::start(BrokerBehaviour::NeverConfirms)?;
    let outbox = outbox_behind(&broker.url()).await?;
    let mut relay = outbox.relay(&["--relay-confirm-timeout", "3s"])?;
    for sent in 1..=2 {
        add(&outbox, 1, 10).await?;
        let came = eventually("it is sent", async || Ok(broker.messages().len() == sent));
        relay.work_until(came).await?;
        // The second window times out later than the first by more than a reconnect takes.
        let begun = Instant::now();
        while sent == 1 && begun.elapsed() < Duration::from_millis(1500) {
            Box::pin(relay.relay.tick()).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    publish_all(&outbox, &mut relay).await?;
    assert_eq!((broker.connections(), broker.messages().len()), (2, 2), "it was turned to again");
    Ok(())
}

#[tokio::test]
async fn a_broker_that_says_nothing_or_breaks_off_is_left_for_the_next_one() -> anyhow::Result<()> {
    for (behaviour, reason) in [
        (BrokerBehaviour::Silent, "does not answer within 1s"),
        (BrokerBehaviour::DisconnectsDuringConfirm, "connection"),
    ] {
        let broker = FakeBroker::start(behaviour)?;
        let url = format!("{}&connection_timeout=1000", broker.url());
        let outbox = outbox_behind(&url).await?;
        add(&outbox, 20, 10).await?;
        let mut relay = outbox.relay(&[])?;
        let said = publish_all(&outbox, &mut relay).await?;
        // With a second broker, a silent first one is no problem.
        assert_eq!(
            mentions(&said, reason),
            behaviour == BrokerBehaviour::DisconnectsDuringConfirm,
            "{said:?}"
        );
        relay.until_idle().await?;
        assert!(relay.health.is_ready(), "{}", trouble(&relay));
        assert!(broker.connections() > 0);
    }
    Ok(())
}

#[tokio::test]
async fn frames_that_come_byte_by_byte_are_understood() -> anyhow::Result<()> {
    let broker = FakeBroker::start(BrokerBehaviour::Trickles)?;
    let mut outbox = Outbox::new().await?;
    outbox.vhost.amqp_url = broker.url();
    add(&outbox, 50, 10).await?;
    let mut relay = outbox.relay(&[])?;
    publish_all(&outbox, &mut relay).await?;
    assert_eq!((broker.messages().len(), broker.connections()), (50, 2), "each once");
    Ok(())
}

#[tokio::test]
async fn a_way_to_the_broker_that_fails_is_left_for_another() -> anyhow::Result<()> {
    let hold = Faults { hold_after: Some(100), ..Faults::default() };
    let end = Faults { is_closed: true, ..Faults::default() };
    let well = Faults::default();
    // The broker may be the first to notice.
    let reasons = ["gave no sign of life", "was lost", "ended the connection"];
    for (to_server, to_client) in [(hold, well), (well, hold), (end, well), (well, end)] {
        let mut outbox = Outbox::new().await?;
        outbox.queue("all", "#").await?;
        let (proxy, url) = Proxy::before(&outbox.vhost.amqp_url)?;
        outbox.vhost.amqp_url = format!("{url}{LIVELY},{}{LIVELY}", outbox.vhost.amqp_url);
        let mut relay = outbox.relay(&[])?;
        relay.until_idle().await?;
        proxy.to_server(to_server);
        proxy.to_client(to_client);
        add(&outbox, 1000, 200).await?;
        let said = publish_all(&outbox, &mut relay).await?;
        let is_told = reasons.iter().any(|reason| mentions(&said, reason));
        assert!(is_told, "{to_server:?} {to_client:?}: {said:?}");
        relay.until_idle().await?;
        assert!(relay.health.is_ready(), "{}", trouble(&relay));
        assert!(outbox.take_all("all").await?.len() >= 1000);
    }
    Ok(())
}

#[tokio::test]
async fn a_slow_way_to_the_broker_and_one_that_is_reset_lose_nothing() -> anyhow::Result<()> {
    let mut outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let (proxy, url) = Proxy::before(&outbox.vhost.amqp_url)?;
    outbox.vhost.amqp_url = format!("{url}{LIVELY}");
    let mut relay = outbox.relay(&[])?;
    relay.until_idle().await?;

    // A window takes longer than the heartbeat timeout, with heartbeats in between.
    let slow = Faults { rate: Some(200_000), ..Faults::default() };
    let late = Faults { delay: Duration::from_millis(100), ..Faults::default() };
    proxy.to_server(slow);
    proxy.to_client(late);
    add(&outbox, 1000, 500).await?;
    let said = publish_all(&outbox, &mut relay).await?;
    assert_eq!(said, [""], "a slow broker is no broken one");
    assert_eq!(outbox.take_all("all").await?.len(), 1000, "each once");

    add(&outbox, 1000, 500).await?;
    relay
        .work_until(eventually(
            "some are on their way",
            async || Ok(outbox.depth("all").await? > 0),
        ))
        .await?;
    proxy.reset();
    proxy.to_server(Faults::default());
    proxy.to_client(Faults::default());
    let said = publish_all(&outbox, &mut relay).await?;
    assert!(mentions(&said, "was lost") || mentions(&said, "ended"), "{said:?}");
    assert!(outbox.take_all("all").await?.len() >= 1000);
    relay.until_idle().await?;
    assert!(relay.health.is_ready(), "{}", trouble(&relay));
    Ok(())
}

#[tokio::test]
async fn what_was_loaded_ahead_is_loaded_again_after_the_broker_had_publishers_wait()
-> anyhow::Result<()> {
    let broker = FakeBroker::start(BrokerBehaviour::BlocksUntilChanged)?;
    let mut outbox = Outbox::new().await?;
    outbox.vhost.amqp_url = broker.url();
    let mut relay = outbox.relay(&[])?;
    relay.until_idle().await?;
    // One aggregate: the first event is sent alone, and those behind it are prefetched meanwhile.
    let three = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                 SELECT 'order', '7', 'order.created', '{}' FROM generate_series(1, 3)";
    outbox.sql.batch_execute(three).await?;
    let health = relay.health.clone();
    let told = || health.statuses()["rabbitmq"].reason.as_deref() == Some(BLOCKED);
    relay.work_until(eventually("it is blocked", async || Ok(told()))).await?;
    let edit = "UPDATE outbox SET event_type = 'order.edited'
                WHERE id > (SELECT min(id) FROM outbox) AND published_at IS NULL";
    assert_eq!(outbox.sql.execute(edit, &[]).await?, 2);
    broker.set_behaviour(BrokerBehaviour::Confirms);
    relay.work_until(outbox.all_published()).await?;
    let messages = broker.messages();
    let sent: Vec<&str> = messages.iter().map(|message| message.routing_key.as_str()).collect();
    assert_eq!(sent, ["order.created", "order.edited", "order.edited"]);
    Ok(())
}

//! Queues that reject what the consumer moves to them: other events are counted, nothing is lost
//! and nothing is duplicated.

use anyhow::{Context as _, ensure};
use lapin::options::QueueBindOptions;
use lapin::types::FieldTable;
use pipeline_tests::broker_user::BrokerUser;
use pipeline_tests::consumer::Consumer;
use pipeline_tests::consumer_fixture::{
    ConsumerFixture, DEAD_LETTER_QUEUE, QUEUE, RETRY_QUEUE, orders_of, until,
};
use pipeline_tests::rabbitmqctl::rabbitmqctl;
use serde_json::json;
use stack::{Management, RabbitServer};

type Tested = anyhow::Result<()>;

/// Fills queues whose length an administrator's policy limits. Returns how many messages fill each.
struct Full<'a> {
    fixture: &'a ConsumerFixture,
    filled: Vec<(&'static str, usize)>,
}

impl<'a> Full<'a> {
    async fn fill(fixture: &'a ConsumerFixture, queues: &[&'static str]) -> anyhow::Result<Self> {
        let management = Management::new(&fixture.broker.management_url)?;
        let policy = json!({
            "pattern": format!("^({})$", queues.join("|")), "apply-to": "queues",
            "definition": {"max-length": 1, "overflow": "reject-publish"},
        });
        management.put(&format!("/api/policies/{}/full", fixture.broker.name), &policy).await?;
        let mut filled = Vec::new();
        for queue in queues {
            let mut count = 0;
            // A policy takes effect after a moment, and a quorum queue may exceed its limit a
            // little.
            while fixture.send_to(queue, b"{}").await? {
                count += 1;
                ensure!(count < 100, "{queue} takes everything");
            }
            filled.push((*queue, count));
        }
        Ok(Self { fixture, filled })
    }

    /// Removes the policy and the messages that filled the queues.
    async fn empty(self) -> Tested {
        let management = Management::new(&self.fixture.broker.management_url)?;
        management.delete(&format!("/api/policies/{}/full", self.fixture.broker.name)).await?;
        for (queue, count) in self.filled {
            for _ in 0..count {
                assert_eq!(self.fixture.take(queue).await?.data, b"{}");
            }
        }
        Ok(())
    }
}

/// Waits for the note in `/readyz` about messages that can't be moved.
async fn note(consumer: &Consumer) -> anyhow::Result<String> {
    until(async || {
        let readiness = consumer.readiness().await?;
        ensure!(readiness["ready"] == true, "{readiness}");
        Ok(readiness["notes"]["moves"].as_str().map(str::to_owned))
    })
    .await
}

/// The number of messages sent to the retry queue.
async fn retried(consumer: &Consumer) -> anyhow::Result<u32> {
    let metrics = format!("{}/metrics", consumer.ops_url);
    let metrics = stack::http_client()?.get(metrics).send().await?.text().await?;
    let mut lines = metrics.lines();
    let told =
        lines.find_map(|line| line.strip_prefix("consumer_events_total{outcome=\"retried\"} "));
    Ok(told.context("it is told")?.parse()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_dead_letter_queue_refuses_is_tried_again_and_not_charged() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let settings = ["--rabbitmq-max-retries", "1", "--rabbitmq-retry-ttl-ms", "200"];
    let consumer = fixture.consumer(&settings).await?;
    let full = Full::fill(&fixture, &[DEAD_LETTER_QUEUE]).await?;
    let before = fixture.waiting(DEAD_LETTER_QUEUE).await?;
    fixture.publish_all([b"broken".to_vec()]).await?;
    fixture.publish_all(orders_of(20, customer)).await?;
    fixture.counted(customer, 20).await?;
    let note = note(&consumer).await?;
    ensure!(note.contains("customer.orders_count.dlq refuses"), "{note}");
    // Several cycles.
    until(async || Ok((retried(&consumer).await? >= 4).then_some(()))).await?;
    let there = async || {
        let waiting = (fixture.waiting(QUEUE).await?, fixture.waiting(RETRY_QUEUE).await?);
        let dead = fixture.waiting(DEAD_LETTER_QUEUE).await? - before;
        anyhow::Ok(waiting.0 + waiting.1 + dead)
    };
    ensure!(there().await? <= 1, "it multiplies");

    full.empty().await?;
    let dead = fixture.take(DEAD_LETTER_QUEUE).await?;
    let headers = dead.properties.headers().as_ref().context("headers")?.inner();
    assert_eq!(headers.get("x-tries").context("x-tries")?.as_long_long_int(), Some(1));
    assert_eq!(dead.data, b"broken");
    until(async || Ok(consumer.readiness().await?["notes"]["moves"].is_null().then_some(())))
        .await?;
    fixture.finished(consumer).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_queue_takes_is_kept_and_when_it_is_too_much_the_counting_stops() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let consumer = fixture.consumer(&["--consumer-prefetch", "20"]).await?;
    let full = Full::fill(&fixture, &[RETRY_QUEUE, DEAD_LETTER_QUEUE]).await?;
    fixture.publish_all(std::iter::repeat_n(b"broken".to_vec(), 3)).await?;
    fixture.publish_all(orders_of(40, customer)).await?;
    fixture.counted(customer, 40).await?;
    let note = note(&consumer).await?;
    ensure!(note.contains("dlq refuses") && note.contains("retry refuses"), "{note}");

    fixture.publish_all(std::iter::repeat_n(b"broken".to_vec(), 12)).await?;
    let reason = consumer.down("rabbitmq").await?;
    ensure!(reason.contains("nowhere to go") && reason.contains("refuses"), "{reason}");
    full.empty().await?;
    until(async || Ok((fixture.waiting(DEAD_LETTER_QUEUE).await? == 15).then_some(()))).await?;
    consumer.ready().await?;
    fixture.publish_all(orders_of(1, customer)).await?;
    fixture.counted(customer, 41).await?;
    fixture.finished(consumer).await
}

/// The broker's size limit was lowered below a message that it holds: it closes the channel over
/// that message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_the_broker_closes_the_channel_over_keeps_no_other_from_being_moved()
-> Tested {
    let server = RabbitServer::start_temporary().await?;
    let database = stack::shared().await?.database("customers").await?;
    let fixture = ConsumerFixture::with(database, server.vhost("consumer").await?).await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    let broken = |_| b"broken".to_vec();
    let huge = vec![b'x'; 3 << 20];
    fixture.publish_all((0..5).map(broken).chain([huge]).chain((0..5).map(broken))).await?;
    fixture.publish_all(orders_of(5, customer)).await?;
    rabbitmqctl(
        &server,
        &[
            "eval",
            "application:set_env(rabbit, max_message_size, 2097152), persistent_term:put(max_message_size, 2097152).",
        ],
    )?;
    let consumer = fixture.consumer(&[]).await?;
    fixture.counted(customer, 5).await?;
    until(async || Ok((fixture.waiting(DEAD_LETTER_QUEUE).await? == 10).then_some(()))).await?;
    let note = note(&consumer).await?;
    ensure!(note.contains("the broker refuses the message"), "{note}");
    consumer.stop().await?;
    // The broker takes a moment to requeue a consumer's messages.
    until(async || Ok((fixture.waiting(QUEUE).await? == 1).then_some(()))).await?;
    assert_eq!(fixture.waiting(RETRY_QUEUE).await?, 0);
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 10, "none is copied twice");
    Ok(())
}

/// The consumer lacks the permission to bind the dead-letter queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binding_that_stays_missing_stops_nobody() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    let (queue, exchange, key) = (DEAD_LETTER_QUEUE, "orders.dlx", QUEUE);
    let none = FieldTable::default();
    fixture.channel.queue_unbind(queue.into(), exchange.into(), key.into(), none.clone()).await?;
    let user = BrokerUser::new(&fixture.broker, "^$", r"^orders\.(retry|dlx)$").await?;
    let settings = ["--rabbitmq-retry-ttl-ms", "200"];
    let consumer = Consumer::launch(&fixture.database.url, &user.url, &settings).await?;
    fixture.publish_all([b"broken".to_vec()]).await?;
    fixture.publish_all(orders_of(20, customer)).await?;
    fixture.counted(customer, 20).await?;
    let note = until(async || {
        let readiness = consumer.readiness().await?;
        Ok(readiness["notes"]["moves"].as_str().map(str::to_owned))
    });
    let note = note.await?;
    ensure!(note.contains("orders.dlx leads to no queue"), "{note}");
    // It is retried, and all others are counted meanwhile.
    let before = retried(&consumer).await?;
    until(async || Ok((retried(&consumer).await? >= before + 3).then_some(()))).await?;
    ensure!(consumer.readiness().await?["ready"] == true);
    fixture.publish_all(orders_of(20, customer)).await?;
    fixture.counted(customer, 40).await?;

    let bind = QueueBindOptions::default();
    fixture.channel.queue_bind(queue.into(), exchange.into(), key.into(), bind, none).await?;
    assert_eq!(fixture.take(DEAD_LETTER_QUEUE).await?.data, b"broken");
    fixture.finished(consumer).await?;
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0, "one and no copy");
    Ok(())
}

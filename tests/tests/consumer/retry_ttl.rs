//! A shorter `RABBITMQ_RETRY_TTL_MS` also applies to messages that are already in the retry queue,
//! so that they block none behind them.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use lapin::options::{BasicGetOptions, BasicNackOptions, BasicPublishOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};
use pipeline_tests::broker_user::BrokerUser;
use pipeline_tests::consumer::Consumer;
use pipeline_tests::consumer_fixture::{
    ConsumerFixture, DEAD_LETTER_QUEUE, QUEUE, RETRY_QUEUE, order_created, orders_of, until,
};
use pipeline_tests::pipeline::PATIENCE;
use pipeline_tests::proxy::{Faults, Proxy};
use pipeline_tests::rabbitmqctl::rabbitmqctl;
use stack::RabbitServer;
use uuid::Uuid;

type Tested = anyhow::Result<()>;

/// Longer than any test waits.
const LONG: [&str; 4] = ["--rabbitmq-retry-ttl-ms", "600000", "--rabbitmq-max-retries", "1000"];
const SHORT: [&str; 4] = ["--rabbitmq-retry-ttl-ms", "200", "--rabbitmq-max-retries", "1000"];

/// Puts this many events of an unknown customer into the retry queue, each for ten minutes.
async fn waiting_long(fixture: &ConsumerFixture, events: usize) -> anyhow::Result<Uuid> {
    let late = Uuid::new_v4();
    let consumer = fixture.consumer(&LONG).await?;
    fixture.publish_all(orders_of(events, late)).await?;
    until(async || {
        Ok((usize::try_from(fixture.waiting(RETRY_QUEUE).await?)? == events).then_some(()))
    })
    .await?;
    consumer.stop().await?;
    Ok(late)
}

async fn to_retry_queue(
    fixture: &ConsumerFixture,
    body: &[u8],
    properties: BasicProperties,
) -> Tested {
    let (exchange, key) = ("orders.retry".into(), QUEUE.into());
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let publish = fixture.channel.basic_publish(exchange, key, options, body, properties);
    ensure!(publish.await?.await? == Confirmation::Ack(None), "the message was not taken");
    Ok(())
}

/// A consumer's database, and a private broker with settings of the test.
async fn with_own_broker() -> anyhow::Result<(RabbitServer, ConsumerFixture)> {
    let server = RabbitServer::start_temporary().await?;
    let database = stack::shared().await?.database("customers").await?;
    let fixture = ConsumerFixture::with(database, server.vhost("consumer").await?).await?;
    Ok((server, fixture))
}

/// Waits until the work queue and the retry queue are empty.
async fn none_waits(fixture: &ConsumerFixture) -> Tested {
    until(async || {
        let waiting = (fixture.waiting(QUEUE).await?, fixture.waiting(RETRY_QUEUE).await?);
        Ok((waiting == (0, 0)).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_longer_is_tried_after_the_shorter_time_and_holds_up_nothing_behind_it()
-> Tested {
    let fixture = ConsumerFixture::start().await?;
    let late = waiting_long(&fixture, 250).await?;
    let consumer = fixture.consumer(&SHORT).await?;
    // Behind the others.
    let stranger = Uuid::new_v4();
    fixture.publish_all(orders_of(1, stranger)).await?;
    fixture.add_customer(late).await?;
    fixture.add_customer(stranger).await?;
    fixture.counted(late, 250).await?;
    fixture.counted(stranger, 1).await?;
    none_waits(&fixture).await?;
    consumer.stop().await
}

/// Several consumers start at once, and no message is lost or counted twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_consumers_shorten_the_same_queue() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let late = waiting_long(&fixture, 300).await?;
    fixture.add_customer(late).await?;
    let consumers = try_join_all((0..3).map(|_| fixture.consumer(&SHORT))).await?;
    fixture.counted(late, 300).await?;
    none_waits(&fixture).await?;
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0);
    for consumer in consumers {
        consumer.stop().await?;
    }
    Ok(())
}

/// Killed in the middle of a batch, of which the broker has some copies: a message may then be
/// duplicated, and is counted once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_is_killed_while_it_shortens_loses_none() -> Tested {
    // The consumer publishes some 700 bytes for a message, in batches of 16.
    for bytes in [5_000, 18_000, 40_000] {
        let fixture = ConsumerFixture::start().await?;
        let late = waiting_long(&fixture, 100).await?;
        fixture.add_customer(late).await?;
        let (broker, through_proxy) = Proxy::before(&fixture.broker.amqp_url)?;
        broker.to_server(Faults { hold_after: Some(bytes), ..Faults::default() });
        let settings = [
            ("RABBITMQ_URL", through_proxy.as_str()),
            ("RABBITMQ_RETRY_TTL_MS", "300000"),
            ("RABBITMQ_MAX_RETRIES", "1000"),
        ];
        let consumer = fixture.consumer_process(&settings).await?;
        until(async || Ok((fixture.waiting(RETRY_QUEUE).await? < 100).then_some(()))).await?;
        consumer.sigkill()?;
        drop(broker);
        until(async || Ok((fixture.waiting(RETRY_QUEUE).await? >= 100).then_some(()))).await?;
        let consumer = fixture.consumer(&SHORT).await?;
        fixture.counted(late, 100).await?;
        none_waits(&fixture).await?;
        consumer.stop().await?;
    }
    Ok(())
}

/// The same message except for its expiration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_keeps_its_headers_and_its_count_of_retries() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let late = waiting_long(&fixture, 1).await?;
    let look = async || {
        let got = fixture.channel.basic_get(RETRY_QUEUE.into(), BasicGetOptions::default());
        let Some(message) = got.await? else { return Ok(None) };
        message.nack(BasicNackOptions { requeue: true, multiple: false }).await?;
        anyhow::Ok(Some(message.delivery))
    };
    let before = until(&look).await?;
    let expiration = |delivery: &lapin::message::Delivery| {
        delivery.properties.expiration().as_ref().map(ToString::to_string)
    };
    assert_eq!(expiration(&before).as_deref(), Some("600000"));
    let settings = [("RABBITMQ_RETRY_TTL_MS", "300000"), ("RABBITMQ_MAX_RETRIES", "1000")];
    let consumer = fixture.consumer_process(&settings).await?;
    // Not before: the message would be with this reader, and the consumer would find none.
    consumer.wait_for_line("applied a shorter RABBITMQ_RETRY_TTL_MS", PATIENCE).await?;
    let after = until(&look).await?;
    assert_eq!(expiration(&after).as_deref(), Some("300000"));
    let headers = |delivery: &lapin::message::Delivery| {
        let mut headers = delivery.properties.headers().clone().unwrap_or_default().inner().clone();
        headers.remove("x-delivery-count");
        headers
    };
    assert_eq!(headers(&before), headers(&after));
    assert!(headers(&after).contains_key("x-retry-count"));
    assert_eq!(before.data, after.data);
    assert_eq!(before.routing_key, after.routing_key);
    fixture.add_customer(late).await
}

/// Written by other programs: without the time of the failure and without an expiration, which
/// would block all messages behind them for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_others_are_shortened_too() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    let mut odd = FieldTable::default();
    odd.insert("x-last-failed-at".into(), AMQPValue::LongString("yesterday".into()));
    for properties in [
        BasicProperties::default(),
        BasicProperties::default().with_expiration("86400000".into()),
        BasicProperties::default().with_expiration("86400000".into()).with_headers(odd),
    ] {
        let body = order_created(Uuid::now_v7(), customer).to_string();
        to_retry_queue(&fixture, body.as_bytes(), properties).await?;
    }
    let consumer = fixture.consumer(&SHORT).await?;
    fixture.counted(customer, 3).await?;
    fixture.finished(consumer).await
}

/// It can't read the retry queue, and counts nevertheless.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counting_begins_although_the_retry_queue_can_not_be_read() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let late = waiting_long(&fixture, 5).await?;
    let user = BrokerUser::new(&fixture.broker, ".*", ".*").await?;
    user.may_read(r"^(orders\.events|customer\.orders_count)$").await?;
    let consumer = Consumer::launch(&fixture.database.url, &user.url, &SHORT).await?;
    consumer.ready().await?;
    fixture.publish_all(orders_of(10, customer)).await?;
    fixture.counted(customer, 10).await?;
    ensure!(consumer.readiness().await?["ready"] == true);
    assert_eq!(fixture.waiting(RETRY_QUEUE).await?, 5);
    fixture.finished(consumer).await?;
    fixture.add_customer(late).await.context("for nobody")
}

/// A message that can't be republished stays in the queue unacknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_can_not_be_sent_again_stay() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let late = waiting_long(&fixture, 5).await?;
    let (queue, exchange, key) = (RETRY_QUEUE, "orders.retry", QUEUE);
    let none = FieldTable::default();
    fixture.channel.queue_unbind(queue.into(), exchange.into(), key.into(), none).await?;
    let settings = [("RABBITMQ_RETRY_TTL_MS", "200"), ("CONSUMER_DECLARE", "false")];
    let consumer = fixture.consumer_process(&settings).await?;
    consumer.wait_for_line("can't apply RABBITMQ_RETRY_TTL_MS", PATIENCE).await?;
    until(async || Ok((fixture.waiting(RETRY_QUEUE).await? == 5).then_some(()))).await?;
    consumer.sigkill()?;
    // A consumer that binds it again.
    fixture.add_customer(late).await?;
    let consumer = fixture.consumer(&SHORT).await?;
    fixture.counted(late, 5).await?;
    fixture.finished(consumer).await
}

/// A broker with a memory alarm reads what was sent once the alarm is over: a consumer that had
/// given up by then would have published copies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_do_not_multiply_while_the_broker_is_short_of_memory() -> Tested {
    let (server, fixture) = with_own_broker().await?;
    let late = waiting_long(&fixture, 16).await?;
    rabbitmqctl(&server, &["set_vm_memory_high_watermark", "0.0000001"])?;
    // Long enough for the republished messages to be still in the queue.
    let settings = [("RABBITMQ_RETRY_TTL_MS", "300000"), ("RABBITMQ_MAX_RETRIES", "1000")];
    let consumer = fixture.consumer_process(&settings).await?;
    until(async || Ok((fixture.waiting(RETRY_QUEUE).await? == 0).then_some(()))).await?;
    // Longer than the timeout of other replies.
    tokio::time::sleep(Duration::from_secs(12)).await;
    rabbitmqctl(&server, &["set_vm_memory_high_watermark", "0.9"])?;
    until(async || Ok((fixture.waiting(RETRY_QUEUE).await? >= 16).then_some(()))).await?;
    consumer.sigterm()?;
    consumer.wait_exit(PATIENCE).await?;
    until(async || Ok((fixture.waiting(RETRY_QUEUE).await? == 16).then_some(())))
        .await
        .context("originals and copies")?;
    fixture.add_customer(late).await
}

/// The broker's size limit was lowered below a message that it holds: it closes the channel over
/// that message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_the_broker_refuses_keeps_no_other_waiting() -> Tested {
    let (server, fixture) = with_own_broker().await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    let long = BasicProperties::default().with_expiration("86400000".into());
    let (before, after) = (orders_of(20, customer), orders_of(20, customer));
    for body in before.into_iter().chain([vec![b'x'; 3 << 20]]).chain(after) {
        to_retry_queue(&fixture, &body, long.clone()).await?;
    }
    rabbitmqctl(
        &server,
        &[
            "eval",
            "application:set_env(rabbit, max_message_size, 2097152), persistent_term:put(max_message_size, 2097152).",
        ],
    )?;
    let consumer = fixture.consumer(&SHORT).await?;
    fixture.counted(customer, 40).await?;
    fixture.finished(consumer).await?;
    until(async || Ok((fixture.waiting(RETRY_QUEUE).await? == 1).then_some(()))).await
}

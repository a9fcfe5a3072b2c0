//! The consumer while its database or its broker is away, and when a queue is not as it has to be.

use std::time::Duration;

use lapin::ExchangeKind;
use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use pipeline_tests::counting::{
    Counting, DEAD_LETTER_QUEUE, QUEUE, RETRY_QUEUE, order_created, until,
};
use pipeline_tests::pipeline::{PATIENCE, connect, ready};
use stack::{PostgresServer, ProcessId, RabbitServer, Signal};
use uuid::Uuid;

type Tested = anyhow::Result<()>;

/// Without retries a message that is charged for an outage shows in the dead-letter queue at once.
const CHARGED_IS_DEAD: [&str; 2] = ["--rabbitmq-max-retries", "0"];

fn orders(number: usize, customer: Uuid) -> Vec<Vec<u8>> {
    let body = |_| order_created(Uuid::now_v7(), customer).to_string().into_bytes();
    (0..number).map(body).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_its_database_is_down_the_consumer_stops_and_no_retry_is_burnt() -> Tested {
    let mut postgres = PostgresServer::start_temporary().await?;
    let broker = stack::shared().await?.vhost("consumer").await?;
    let mut counting = Counting::with(postgres.database("customers").await?, broker).await?;
    let customer = counting.customer().await?;
    let settings = [&CHARGED_IS_DEAD[..], &["--consumer-prefetch", "20"]].concat();
    let consumer = counting.consumer(&settings).await?;

    // In the middle of its work.
    counting.publish_all(orders(2_000, customer)).await?;
    until(async || Ok((counting.count(customer).await? > 100).then_some(()))).await?;
    postgres.stop_immediately().await?;
    consumer.down("postgresql").await?;
    counting.publish_all(orders(500, customer)).await?;

    // Everything that was not counted is back, nobody consumes, and it stays so.
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let queue = async || {
        let none = FieldTable::default();
        counting
            .channel
            .queue_declare(QUEUE.into(), options, none)
            .await
            .map_err(anyhow::Error::from)
    };
    until(async || Ok((queue().await?.consumer_count() == 0).then_some(()))).await?;
    let left = queue().await?.message_count();
    assert!(left > 500, "{left}");

    postgres.start().await?;
    counting.sql = connect(&counting.database.url).await?;
    counting.counted(customer, 2_500).await?;
    counting.finished(consumer).await?;
    assert_eq!(counting.waiting(RETRY_QUEUE).await?, 0);
    assert_eq!(counting.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_starts_before_its_database_waits_for_it() -> Tested {
    let mut postgres = PostgresServer::start_temporary().await?;
    let broker = stack::shared().await?.vhost("consumer").await?;
    let mut counting = Counting::with(postgres.database("customers").await?, broker).await?;
    let customer = counting.customer().await?;
    counting.consumer(&[]).await?.stop().await?;
    counting.publish_all(orders(3, customer)).await?;
    postgres.stop_gracefully().await?;

    let service = counting.consumer_process(&[("RABBITMQ_MAX_RETRIES", "0")]).await?;
    service.wait_for_line("postgresql is not reachable", PATIENCE).await?;
    // Some tries later.
    service.wait_for_line("operations port is open", PATIENCE).await?;
    assert_eq!(counting.waiting(QUEUE).await?, 3);
    postgres.start().await?;
    counting.sql = connect(&counting.database.url).await?;
    counting.counted(customer, 3).await?;
    ready(&service).await?;
    assert_eq!(counting.waiting(DEAD_LETTER_QUEUE).await?, 0);
    let refused = "postgresql is not reachable: trying again until it is dependency=\"postgresql\" \
                   reason=\"error connecting to server: Connection refused";
    let log = service.log();
    assert_eq!(log.matches(refused).count(), 1, "one line per state, not per try: {log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_frozen_is_given_up_and_the_event_counted_once_when_it_thaws() -> Tested
{
    let counting = Counting::start().await?;
    let customer = counting.customer().await?;
    let settings = [&CHARGED_IS_DEAD[..], &["--database-statement-timeout", "200ms"]].concat();
    let consumer = counting.consumer(&settings).await?;
    let backend = "SELECT pid FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'customer-service consumer'";
    let backend: i32 = counting.sql.query_one(backend, &[]).await?.get(0);
    let Some(backend) = ProcessId::of(u32::try_from(backend)?) else { panic!("no backend") };
    backend.signal(Signal::SIGSTOP)?;

    counting.publish_all(orders(5, customer)).await?;
    // A new connection gets a backend that answers.
    let counted = counting.counted(customer, 5).await;
    let reason = consumer.readiness().await?;
    backend.signal(Signal::SIGCONT)?;
    counted?;
    assert_eq!(reason["ready"], true);
    // The thawed one finds the same statements in its socket, if anything.
    backend.wait_gone(PATIENCE).await;
    assert_eq!(counting.count(customer).await?, 5);
    counting.finished(consumer).await?;
    assert_eq!(counting.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_someone_holds_locked_charges_no_message() -> Tested {
    let counting = Counting::start().await?;
    let customer = counting.customer().await?;
    let settings = [&CHARGED_IS_DEAD[..], &["--database-statement-timeout", "200ms"]].concat();
    let consumer = counting.consumer(&settings).await?;
    let other = connect(&counting.database.url).await?;
    other.batch_execute("BEGIN; SELECT FROM customers FOR UPDATE").await?;
    counting.publish_all(orders(5, customer)).await?;
    let reason = consumer.down("postgresql").await?;
    assert!(reason.contains("statement timeout"), "{reason}");
    other.batch_execute("COMMIT").await?;
    counting.counted(customer, 5).await?;
    counting.finished(consumer).await?;
    assert_eq!(counting.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_restarts_while_events_are_consumed_loses_none() -> Tested {
    let mut rabbitmq = RabbitServer::start_temporary().await?;
    let database = stack::shared().await?.database("customers").await?;
    let mut counting = Counting::with(database, rabbitmq.vhost("consumer").await?).await?;
    let customer = counting.customer().await?;
    let settings = [&CHARGED_IS_DEAD[..], &["--consumer-prefetch", "20"]].concat();
    let consumer = counting.consumer(&settings).await?;
    counting.publish_all(orders(2_000, customer)).await?;
    until(async || Ok((counting.count(customer).await? > 100).then_some(()))).await?;

    rabbitmq.kill().await?;
    consumer.down("rabbitmq").await?;
    rabbitmq.start().await?;
    counting.counted(customer, 2_000).await?;
    counting.reconnect().await?;
    counting.publish_all(orders(10, customer)).await?;
    counting.counted(customer, 2_010).await?;
    counting.finished(consumer).await?;
    assert_eq!(counting.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_queue_that_is_deleted_under_the_consumer_is_declared_anew() -> Tested {
    let counting = Counting::start().await?;
    let customer = counting.customer().await?;
    let consumer = counting.consumer(&[]).await?;
    counting.channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await?;
    consumer.down("rabbitmq").await?;
    consumer.ready().await?;
    counting.publish_all(orders(1, customer)).await?;
    counting.counted(customer, 1).await?;
    counting.finished(consumer).await
}

/// The move is returned by the broker: the original must stay.
#[tokio::test]
async fn a_message_is_not_lost_when_the_queue_that_it_has_to_go_to_is_missing() -> Tested {
    let counting = Counting::start().await?;
    let consumer = counting.consumer(&[]).await?;
    for queue in [RETRY_QUEUE, DEAD_LETTER_QUEUE] {
        counting.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
    }
    counting.publish_all(orders(20, Uuid::new_v4())).await?;
    let broken = std::iter::repeat_n(b"broken".to_vec(), 20);
    counting.publish_all(broken).await?;
    let there = async |queue: &str| {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let (connection, channel) = counting.another_channel().await?;
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
        drop(connection);
        anyhow::Ok(declared.map_or(0, |queue| queue.message_count()))
    };
    until(async || {
        let moved = (there(RETRY_QUEUE).await?, there(DEAD_LETTER_QUEUE).await?);
        Ok((moved.0 >= 20 && moved.1 >= 20).then_some(()))
    })
    .await?;
    counting.finished(consumer).await
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_named_with_what_differs_and_mended_without_a_restart()
-> Tested {
    let counting = Counting::start().await?;
    let customer = counting.customer().await?;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    counting.channel.queue_declare(QUEUE.into(), durable, FieldTable::default()).await?;

    let service = counting.consumer_process(&[]).await?;
    let line = service.wait_for_line("rabbitmq is not reachable", PATIENCE).await?;
    for part in
        ["queue customer.orders_count exists already", "x-queue-type", "'quorum'", "delete it"]
    {
        assert!(line.contains(part), "{line:?} does not say {part:?}");
    }
    // Mended, but not well: the next try says what differs now.
    counting.channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await?;
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    counting.channel.queue_declare(QUEUE.into(), durable, quorum).await?;
    service.wait_for_line("inequivalent arg 'x-delivery-limit'", PATIENCE).await?;
    let log = service.log();
    for difference in ["'x-queue-type'", "'x-delivery-limit'"] {
        assert_eq!(log.matches(difference).count(), 1, "one line per state, not per try: {log}");
    }

    counting.channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await?;
    ready(&service).await?;
    counting.publish_all(orders(1, customer)).await?;
    counting.counted(customer, 1).await
}

#[tokio::test]
async fn an_exchange_of_another_type_is_named_with_what_differs_and_mended_without_a_restart()
-> Tested {
    let counting = Counting::start().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let name = "orders.events";
    counting
        .channel
        .exchange_declare(name.into(), ExchangeKind::Direct, durable, FieldTable::default())
        .await?;
    let consumer = counting.unready_consumer(&[]).await?;
    let reason = until(async || {
        let reason = consumer.down("rabbitmq").await?;
        Ok(reason.contains("exchange orders.events exists already").then_some(reason))
    })
    .await?;
    assert!(reason.contains("'topic'") && reason.contains("'direct'"), "{reason}");
    counting.channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await?;
    consumer.ready().await?;
    consumer.stop().await
}

/// An upgrade of the broker, or another version of this program, must not change what was declared before.
#[tokio::test]
async fn the_topology_is_the_contracts() -> Tested {
    let counting = Counting::start().await?;
    counting.consumer(&[]).await?.stop().await?;
    let quorum = [("x-queue-type", AMQPValue::LongString("quorum".into()))];
    let text = |value: &str| AMQPValue::LongString(value.into());
    let work = [("x-delivery-limit", AMQPValue::LongLongInt(2_147_483_647))];
    let retry = [
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(QUEUE)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ];
    let declarations = [(QUEUE, &work[..]), (RETRY_QUEUE, &retry[..]), (DEAD_LETTER_QUEUE, &[])];
    for (queue, arguments) in declarations {
        let mut table = FieldTable::default();
        for (name, value) in quorum.iter().chain(arguments) {
            table.insert((*name).into(), value.clone());
        }
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        // Refused by the broker if anything differed.
        counting.channel.queue_declare(queue.into(), durable, table).await?;
    }
    Ok(())
}

/// The broker drops what was returned too often, unless told otherwise: RabbitMQ 4 after 20 times.
#[tokio::test]
async fn a_message_that_is_returned_a_hundred_times_is_still_there() -> Tested {
    let counting = Counting::start().await?;
    let customer = counting.customer().await?;
    counting.consumer(&[]).await?.stop().await?;
    counting.publish_all(orders(1, customer)).await?;
    for _ in 0..100 {
        let message = until(async || {
            let got = counting.channel.basic_get(QUEUE.into(), Default::default()).await?;
            Ok(got)
        });
        let options = lapin::options::BasicNackOptions { requeue: true, multiple: false };
        message.await?.nack(options).await?;
    }
    let consumer = counting.consumer(&[]).await?;
    counting.counted(customer, 1).await?;
    counting.finished(consumer).await
}

#[tokio::test]
async fn the_retry_time_may_change_while_messages_wait() -> Tested {
    let counting = Counting::start().await?;
    let consumer = counting.consumer(&["--rabbitmq-retry-ttl-ms", "50"]).await?;
    let late = Uuid::new_v4();
    counting.publish_all(orders(1, late)).await?;
    until(async || Ok((counting.waiting(RETRY_QUEUE).await? > 0).then_some(()))).await?;
    consumer.stop().await?;
    // Another time, the same queue: it is declared without one.
    let consumer = counting.consumer(&["--rabbitmq-retry-ttl-ms", "100"]).await?;
    counting.add_customer(late).await?;
    counting.counted(late, 1).await?;
    tokio::time::timeout(Duration::from_secs(60), counting.finished(consumer)).await?
}

//! The consumer during outages of its database or broker.

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use pipeline_tests::blocked_consumer::{BlockAt, block_transactions, unblock};
use pipeline_tests::consumer_fixture::{
    ConsumerFixture, DEAD_LETTER_QUEUE, QUEUE, RETRY_QUEUE, orders_of, until,
};
use pipeline_tests::paused_process::PausedProcess;
use pipeline_tests::pipeline::{PATIENCE, connect, ready};
use stack::{PostgresServer, ProcessId, RabbitServer};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

type Tested = anyhow::Result<()>;

/// Without retries a message that is charged for an outage goes to the dead-letter queue at once.
const CHARGED_IS_DEAD: [&str; 2] = ["--rabbitmq-max-retries", "0"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_its_database_is_down_the_consumer_stops_and_no_retry_is_burnt() -> Tested {
    let mut postgres = PostgresServer::start_temporary().await?;
    let broker = stack::shared().await?.vhost("consumer").await?;
    let mut fixture = ConsumerFixture::with(postgres.database("customers").await?, broker).await?;
    let customer = fixture.customer().await?;
    let settings = [&CHARGED_IS_DEAD[..], &["--consumer-prefetch", "20"]].concat();
    let consumer = fixture.consumer(&settings).await?;

    // In the middle of the backlog, which ends with an event that can't be counted before the
    // database stops.
    let last = fixture.customer().await?;
    block_transactions(&fixture.sql, BlockAt::Count, &[last]).await?;
    fixture.publish_all(orders_of(2_000, customer)).await?;
    fixture.publish_all(orders_of(1, last)).await?;
    until(async || Ok((fixture.count(customer).await? > 100).then_some(()))).await?;
    postgres.stop_immediately().await?;
    consumer.down("postgresql").await?;
    fixture.publish_all(orders_of(500, customer)).await?;

    // All uncounted messages are back in the queue, and no consumer is attached any more.
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let queue = async || {
        let none = FieldTable::default();
        fixture
            .channel
            .queue_declare(QUEUE.into(), options, none)
            .await
            .map_err(anyhow::Error::from)
    };
    until(async || Ok((queue().await?.consumer_count() == 0).then_some(()))).await?;
    let left = queue().await?.message_count();
    assert!(left > 500, "{left}");

    postgres.start().await?;
    fixture.sql = connect(&fixture.database.url).await?;
    unblock(&fixture.sql).await?;
    fixture.counted(customer, 2_500).await?;
    fixture.counted(last, 1).await?;
    fixture.finished(consumer).await?;
    assert_eq!(fixture.waiting(RETRY_QUEUE).await?, 0);
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_starts_before_its_database_waits_for_it() -> Tested {
    let mut postgres = PostgresServer::start_temporary().await?;
    let broker = stack::shared().await?.vhost("consumer").await?;
    let mut fixture = ConsumerFixture::with(postgres.database("customers").await?, broker).await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    fixture.publish_all(orders_of(3, customer)).await?;
    postgres.stop_gracefully().await?;
    // In the database's place, this closes each connection, and so counts the attempts.
    let closing = TcpListener::bind(("127.0.0.1", postgres.access().port)).await?;

    let service = fixture.consumer_process(&[("RABBITMQ_MAX_RETRIES", "0")]).await?;
    for _ in 0..4 {
        let (mut attempt, _) = timeout(PATIENCE, closing.accept()).await??;
        // Unread bytes would reset the connection.
        assert!(attempt.read(&mut [0; 1024]).await? > 0);
    }
    let log = service.log();
    let reports = log.matches("postgresql is not reachable").count();
    assert_eq!(reports, 1, "one line per state, not per attempt: {log}");
    assert_eq!(fixture.waiting(QUEUE).await?, 3);
    drop(closing);
    postgres.start().await?;
    fixture.sql = connect(&fixture.database.url).await?;
    fixture.counted(customer, 3).await?;
    ready(&service).await?;
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_frozen_is_given_up_and_the_event_counted_once_when_it_thaws() -> Tested
{
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let settings = [&CHARGED_IS_DEAD[..], &["--database-statement-timeout", "200ms"]].concat();
    let consumer = fixture.consumer(&settings).await?;
    let backend = "SELECT pid FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'customer-service consumer'";
    let backend: i32 = fixture.sql.query_one(backend, &[]).await?.get(0);
    let Some(backend) = ProcessId::of(u32::try_from(backend)?) else { panic!("no backend") };
    let backend = PausedProcess::new(backend)?;

    fixture.publish_all(orders_of(5, customer)).await?;
    // A new connection gets a responsive backend.
    fixture.counted(customer, 5).await?;
    consumer.ready().await?;
    let backend = backend.resume()?;
    // The resumed backend finds the same statements in its socket, if any.
    assert!(backend.wait_gone(PATIENCE).await, "the thawed backend never ended");
    assert_eq!(fixture.count(customer).await?, 5);
    fixture.finished(consumer).await?;
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_restarts_while_events_are_consumed_loses_none() -> Tested {
    let mut rabbitmq = RabbitServer::start_temporary().await?;
    let database = stack::shared().await?.database("customers").await?;
    let mut fixture = ConsumerFixture::with(database, rabbitmq.vhost("consumer").await?).await?;
    let customer = fixture.customer().await?;
    let settings = [&CHARGED_IS_DEAD[..], &["--consumer-prefetch", "20"]].concat();
    let consumer = fixture.consumer(&settings).await?;
    // RabbitMQ 3.10 persists the registration of a new quorum queue only after half a second: a
    // crash before that loses the queue, which is not tested here. A clean stop persists it.
    rabbitmq.stop_gracefully().await?;
    consumer.down("rabbitmq").await?;
    rabbitmq.start().await?;
    fixture.reconnect().await?;
    fixture.publish_all(orders_of(2_000, customer)).await?;
    until(async || Ok((fixture.count(customer).await? > 100).then_some(()))).await?;

    rabbitmq.kill().await?;
    consumer.down("rabbitmq").await?;
    let counted = fixture.count(customer).await?;
    assert!(counted < 2_000, "the broker was killed while there was work");
    rabbitmq.start().await?;
    fixture.counted(customer, 2_000).await?;
    fixture.reconnect().await?;
    fixture.publish_all(orders_of(10, customer)).await?;
    fixture.counted(customer, 2_010).await?;
    fixture.finished(consumer).await?;
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

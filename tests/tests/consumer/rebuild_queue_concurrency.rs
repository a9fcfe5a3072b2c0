//! `customer-service consumer rebuild-queue` concurrently with consumers, or with another run.
#![cfg(target_os = "linux")]

use anyhow::ensure;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use pipeline_tests::consumer_fixture::{ConsumerFixture, QUEUE, RETRY_QUEUE, orders_of, until};
use pipeline_tests::previous_queue::MOVING;
use pipeline_tests::rebuild_queue::{before, ended_well, held, is_there, old, rebuild, rebuilt};

type Tested = anyhow::Result<()>;

#[tokio::test]
async fn it_refuses_while_a_consumer_runs_and_changes_nothing() -> Tested {
    let (fixture, customer) = old(0).await?;
    let consumer = fixture.consumer(&[]).await?;
    let ended = rebuild(&fixture).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    ensure!(ended.err.contains("has 1 consumers: stop all consumers"), "{ended:?}");
    ensure!(!is_there(&fixture, MOVING).await? && !fixture.is_queue_new().await?);
    fixture.publish_all(orders_of(3, customer)).await?;
    fixture.counted(customer, 3).await?;
    consumer.stop().await
}

#[tokio::test]
async fn it_refuses_while_the_retry_queue_would_lose_messages() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let durable = lapin::options::QueueDeclareOptions { durable: true, ..Default::default() };
    fixture.channel.queue_declare(RETRY_QUEUE.into(), durable, FieldTable::default()).await?;
    fixture.old_queue().await?;
    let ended = rebuild(&fixture).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    ensure!(ended.err.contains("customer.orders_count.retry would lose"), "{ended:?}");
    ensure!(!is_there(&fixture, MOVING).await? && !fixture.is_queue_new().await?);
    fixture.channel.queue_delete(RETRY_QUEUE.into(), QueueDeleteOptions::default()).await?;
    rebuilt(&fixture).await?;
    let customer = fixture.customer().await?;
    ended_well(&fixture, customer, 0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_run_at_a_time_and_a_consumer_waits_until_it_has_ended() -> Tested {
    let (first, customer) = old(3).await?;
    let printed = rebuilt(&first).await?;
    ended_well(&first, customer, 3).await?;

    let (fixture, customer) = old(20).await?;
    let line = "customer.orders_count is empty";
    let running = held(&fixture, &before(&printed, &first, line, &fixture)?).await?;
    let ended = rebuild(&fixture).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    ensure!(ended.err.contains("another rebuild-queue"), "{ended:?}");
    let consumer = fixture.unready_consumer(&[]).await?;
    let reason = until(async || {
        let reason = consumer.down("rabbitmq").await?;
        Ok(reason.contains("being rebuilt").then_some(reason))
    })
    .await?;
    ensure!(reason.contains("rebuild-queue"), "{reason}");
    fixture.publish_all(orders_of(5, customer)).await?;
    ensure!(fixture.count(customer).await? == 0);

    // It was killed: the consumer works with the current topology, and reports the leftover queue.
    running.kill()?;
    consumer.ready().await?;
    let note = consumer.readiness().await?["notes"]["topology"].to_string();
    ensure!(note.contains(MOVING) && note.contains("run it again"), "{note}");
    fixture.publish_all(orders_of(5, customer)).await?;
    fixture.counted(customer, 5).await?;
    consumer.stop().await?;
    rebuilt(&fixture).await?;
    ended_well(&fixture, customer, 30).await?;

    // When it succeeds, a waiting consumer starts.
    let (fixture, customer) = old(20).await?;
    let running = held(&fixture, &before(&printed, &first, line, &fixture)?).await?;
    let consumer = fixture.unready_consumer(&[]).await?;
    consumer.down("rabbitmq").await?;
    let (code, printed) = running.go_on().await?;
    ensure!(code == Some(0), "{printed}");
    fixture.counted(customer, 20).await?;
    fixture.finished(consumer).await
}

/// A consumer of an earlier release, which does not check for a run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_begins_in_the_middle_keeps_the_queue_from_being_deleted() -> Tested {
    let (first, customer) = old(3).await?;
    let printed = rebuilt(&first).await?;
    ended_well(&first, customer, 3).await?;

    let (fixture, customer) = old(20).await?;
    let line = "customer.orders_count gets no more events";
    let running = held(&fixture, &before(&printed, &first, line, &fixture)?).await?;
    let (connection, channel) = fixture.another_channel().await?;
    channel.basic_qos(5, BasicQosOptions::default()).await?;
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let _taken = channel.basic_consume(QUEUE.into(), "".into(), options, none).await?;
    let (code, printed) = running.go_on().await?;
    ensure!(code == Some(1), "{printed}");
    ensure!(is_there(&fixture, QUEUE).await?, "the messages that the other one has would be lost");
    connection.close(200, "".into()).await?;
    rebuilt(&fixture).await?;
    ended_well(&fixture, customer, 20).await
}

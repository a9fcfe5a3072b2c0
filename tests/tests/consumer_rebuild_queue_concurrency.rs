//! `customer-service consumer rebuild-queue` beside others: consumers, and another run.
#![cfg(target_os = "linux")]

use anyhow::ensure;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use pipeline_tests::counting::{Counting, QUEUE, RETRY_QUEUE, orders_of, until};
use pipeline_tests::old_queue::MOVING;
use pipeline_tests::rebuilding::{before, ended_well, held, is_there, old, rebuild, rebuilt};

type Tested = anyhow::Result<()>;

#[tokio::test]
async fn it_refuses_while_a_consumer_runs_and_changes_nothing() -> Tested {
    let (counting, customer) = old(0).await?;
    let consumer = counting.consumer(&[]).await?;
    let ended = rebuild(&counting).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    ensure!(ended.err.contains("has 1 consumers: stop all consumers"), "{ended:?}");
    ensure!(!is_there(&counting, MOVING).await? && !counting.is_queue_new().await?);
    counting.publish_all(orders_of(3, customer)).await?;
    counting.counted(customer, 3).await?;
    consumer.stop().await
}

#[tokio::test]
async fn it_refuses_while_the_retry_queue_would_lose_messages() -> Tested {
    let counting = Counting::start().await?;
    let durable = lapin::options::QueueDeclareOptions { durable: true, ..Default::default() };
    counting.channel.queue_declare(RETRY_QUEUE.into(), durable, FieldTable::default()).await?;
    counting.old_queue().await?;
    let ended = rebuild(&counting).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    ensure!(ended.err.contains("customer.orders_count.retry would lose"), "{ended:?}");
    ensure!(!is_there(&counting, MOVING).await? && !counting.is_queue_new().await?);
    counting.channel.queue_delete(RETRY_QUEUE.into(), QueueDeleteOptions::default()).await?;
    rebuilt(&counting).await?;
    let customer = counting.customer().await?;
    ended_well(&counting, customer, 0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_run_at_a_time_and_a_consumer_waits_until_it_has_ended() -> Tested {
    let (first, customer) = old(3).await?;
    let printed = rebuilt(&first).await?;
    ended_well(&first, customer, 3).await?;

    let (counting, customer) = old(20).await?;
    let line = "customer.orders_count is empty";
    let running = held(&counting, &before(&printed, &first, line, &counting)?).await?;
    let ended = rebuild(&counting).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    ensure!(ended.err.contains("another rebuild-queue"), "{ended:?}");
    let consumer = counting.unready_consumer(&[]).await?;
    let reason = until(async || {
        let reason = consumer.down("rabbitmq").await?;
        Ok(reason.contains("being made anew").then_some(reason))
    })
    .await?;
    ensure!(reason.contains("rebuild-queue"), "{reason}");
    counting.publish_all(orders_of(5, customer)).await?;
    ensure!(counting.count(customer).await? == 0);

    // It was killed: the consumer works with what there is, and says that something is left.
    running.kill()?;
    consumer.ready().await?;
    let note = consumer.readiness().await?["notes"]["topology"].to_string();
    ensure!(note.contains(MOVING) && note.contains("run it again"), "{note}");
    counting.publish_all(orders_of(5, customer)).await?;
    counting.counted(customer, 5).await?;
    consumer.stop().await?;
    rebuilt(&counting).await?;
    ended_well(&counting, customer, 30).await?;

    // And where it comes to its end, a consumer that waits begins.
    let (counting, customer) = old(20).await?;
    let running = held(&counting, &before(&printed, &first, line, &counting)?).await?;
    let consumer = counting.unready_consumer(&[]).await?;
    consumer.down("rabbitmq").await?;
    let (code, printed) = running.go_on().await?;
    ensure!(code == Some(0), "{printed}");
    counting.counted(customer, 20).await?;
    counting.finished(consumer).await
}

/// One of an earlier release, which asks nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_begins_in_the_middle_keeps_the_queue_from_being_deleted() -> Tested {
    let (first, customer) = old(3).await?;
    let printed = rebuilt(&first).await?;
    ended_well(&first, customer, 3).await?;

    let (counting, customer) = old(20).await?;
    let line = "customer.orders_count gets no more events";
    let running = held(&counting, &before(&printed, &first, line, &counting)?).await?;
    let (connection, channel) = counting.another_channel().await?;
    channel.basic_qos(5, BasicQosOptions::default()).await?;
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let _taken = channel.basic_consume(QUEUE.into(), "".into(), options, none).await?;
    let (code, printed) = running.go_on().await?;
    ensure!(code == Some(1), "{printed}");
    ensure!(is_there(&counting, QUEUE).await?, "the messages that the other one has would be lost");
    connection.close(200, "".into()).await?;
    rebuilt(&counting).await?;
    ended_well(&counting, customer, 20).await
}

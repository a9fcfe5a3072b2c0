//! The consumer's metric of dead letters, whoever adds or removes them.

use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeleteOptions, QueuePurgeOptions};
use pipeline_tests::consumer_fixture::{ConsumerFixture, DEAD_LETTER_QUEUE, order_created};
use pipeline_tests::metrics::shows;
use stack::Service;
use uuid::Uuid;

/// A consumer with messages that were dead-lettered before it started.
async fn beside_dead_letters(messages: usize) -> anyhow::Result<(ConsumerFixture, Service)> {
    let fixture = ConsumerFixture::start().await?;
    // The consumer declares the queues.
    fixture.consumer(&[]).await?.stop().await?;
    for _ in 0..messages {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let queue = DEAD_LETTER_QUEUE.into();
        fixture.channel.basic_publish("".into(), queue, options, b"?", properties).await?.await?;
    }
    let service = fixture.consumer_process(&[]).await?;
    Ok((fixture, service))
}

#[tokio::test]
async fn the_metric_includes_earlier_dead_letters_and_rises_and_falls() -> anyhow::Result<()> {
    let (fixture, service) = beside_dead_letters(2).await?;
    shows(&service, &["consumer_dead_letter_messages 2"]).await?;
    fixture.publish_all([b"no JSON".to_vec()]).await?;
    let one_more = "consumer_events_total{outcome=\"dead_lettered\"} 1";
    shows(&service, &["consumer_dead_letter_messages 3", one_more]).await?;
    fixture.channel.queue_purge(DEAD_LETTER_QUEUE.into(), QueuePurgeOptions::default()).await?;
    shows(&service, &["consumer_dead_letter_messages 0", one_more]).await
}

#[tokio::test]
async fn a_dead_letter_queue_that_was_deleted_does_no_harm_to_the_consumer() -> anyhow::Result<()> {
    let (fixture, service) = beside_dead_letters(1).await?;
    shows(&service, &["consumer_dead_letter_messages 1"]).await?;
    fixture.channel.queue_delete(DEAD_LETTER_QUEUE.into(), QueueDeleteOptions::default()).await?;
    shows(&service, &["consumer_dead_letter_messages 0"]).await?;

    let customer = fixture.customer().await?;
    fixture.publish(&order_created(Uuid::now_v7(), customer)).await?;
    fixture.counted(customer, 1).await?;
    let connected_once = "dependency_connects_total{dependency=\"rabbitmq\"} 1";
    shows(&service, &[connected_once, "dependency_up{dependency=\"rabbitmq\"} 1"]).await
}

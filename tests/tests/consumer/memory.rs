//! A consumer's memory is bounded, whatever is delivered to it.
#![cfg(target_os = "linux")]

use std::time::Duration;

use anyhow::ensure;
use pipeline_tests::blocked_consumer::{BlockAt, block_transactions, unblock, until_blocked};
use pipeline_tests::consumer_fixture::{
    ConsumerFixture, DEAD_LETTER_QUEUE, QUEUE, large_orders_of, orders_of, until, until_within,
};
use pipeline_tests::pipeline::ready;
use pipeline_tests::rabbitmqctl::rabbitmqctl;
use pipeline_tests::rss::Rss;
use stack::RabbitServer;

/// Messages of 900 kB, fewer than the prefetch limit: 135 MB that the broker may deliver at once.
const MESSAGES: usize = 150;

/// The limit of the consumer's data in megabytes: two batches of 8 MiB, 16 MiB of waiting messages,
/// and what the consumer has anyway.
const MOST: u64 = 60;

#[tokio::test]
async fn large_messages_wait_at_the_broker_and_not_in_the_consumer() -> anyhow::Result<()> {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    for _ in 0..MESSAGES / 30 {
        fixture.publish_all(large_orders_of(30, customer)).await?;
    }

    block_transactions(&fixture.sql, BlockAt::Count, &[customer]).await?;
    let consumer = fixture.consumer_process(&[("DATABASE_STATEMENT_TIMEOUT", "60s")]).await?;
    // The first batch is blocked; the rest is in flight.
    until_blocked(&fixture.sql).await?;
    until(async || Ok((fixture.waiting(QUEUE).await? == 0).then_some(()))).await?;
    unblock(&fixture.sql).await?;

    fixture.counted(customer, i64::try_from(MESSAGES)?).await?;
    let resident = Rss::of(&consumer)?;
    ensure!(resident.peak_of_data() < MOST, "{resident:?} MB: {}", consumer.last_lines());
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

/// The size in MiB just below RabbitMQ 3's default limit.
const HUGE: u64 = 127;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_huge_message_that_is_dead_lettered_lies_in_memory_once() -> anyhow::Result<()> {
    // RabbitMQ 4's default limit is 16 MiB.
    let server = RabbitServer::start_temporary().await?;
    let allow = "application:set_env(rabbit, max_message_size, 134217728), persistent_term:put(max_message_size, 134217728).";
    rabbitmqctl(&server, &["eval", allow])?;
    let database = stack::shared().await?.database("customers").await?;
    let fixture = ConsumerFixture::with(database, server.vhost("consumer").await?).await?;
    let customer = fixture.customer().await?;
    let consumer = fixture.consumer_process(&[]).await?;
    // The RSS of a consumer that has dead-lettered a small message.
    ready(&consumer).await?;
    fixture.publish_all(orders_of(10, customer)).await?;
    fixture.publish_all([b"broken".to_vec()]).await?;
    fixture.counted(customer, 10).await?;
    until(async || Ok((fixture.waiting(DEAD_LETTER_QUEUE).await? == 1).then_some(()))).await?;
    let before = Rss::of(&consumer)?.peak;

    fixture.publish_all([vec![b'x'; usize::try_from(HUGE << 20)?]]).await?;
    fixture.publish_all(orders_of(10, customer)).await?;
    until_within(Duration::from_secs(90), async || {
        Ok((fixture.waiting(DEAD_LETTER_QUEUE).await? == 2).then_some(()))
    })
    .await?;
    fixture.counted(customer, 20).await?;
    let most = Rss::of(&consumer)?.peak;
    let taken = most - before;
    ensure!(taken < HUGE * 3 / 2, "{taken} MiB more than the {before} before");
    ensure!(fixture.take(DEAD_LETTER_QUEUE).await?.data == b"broken");
    let dead = fixture.take(DEAD_LETTER_QUEUE).await?.data;
    ensure!(dead.len() as u64 == HUGE << 20 && dead.iter().all(|byte| *byte == b'x'));
    Ok(())
}

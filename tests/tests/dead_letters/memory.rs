//! A collector's memory is bounded by the longest message, however many wait.
#![cfg(target_os = "linux")]

use anyhow::ensure;
use lapin::BasicProperties;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::pipeline::ready;
use pipeline_tests::rss::Rss;

/// Messages that wait: 180 MiB.
const MESSAGES: usize = 12;

/// The size of each in MiB, just below RabbitMQ 4's default limit.
const LARGE: usize = 15;

/// How many such messages may be in memory at once: one that is stored and the driver's two copies
/// of it, and two that wait, as the first leaves room; and two more for the allocator.
const MOST: u64 = 7;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_dead_letters_wait_at_the_broker_and_not_in_the_collector() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::start().await?;
    let collector = desk.follow(&[]).await?;
    ready(&collector).await?;
    desk.add(1, b"x", BasicProperties::default()).await?;
    desk.collected(1).await?;
    let before = Rss::of(&collector)?.peak;

    desk.add(MESSAGES, &vec![b'x'; LARGE << 20], BasicProperties::default()).await?;
    desk.collected(i64::try_from(MESSAGES)? + 1).await?;
    let taken = Rss::of(&collector)?.peak - before;
    ensure!(taken < MOST * u64::try_from(LARGE)?, "{taken} MB for messages of {LARGE} MiB");
    Ok(())
}

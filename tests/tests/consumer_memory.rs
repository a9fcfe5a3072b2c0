//! How much memory a consumer takes, whatever is delivered to it.
#![cfg(target_os = "linux")]

use anyhow::ensure;
use pipeline_tests::counting::{Counting, DEAD_LETTER_QUEUE, QUEUE, large_orders_of, until};
use pipeline_tests::held_counting::{Moment, hold_up, is_held_up, let_go};
use pipeline_tests::resident::Resident;

/// Messages of 900 kB, fewer than the prefetch: 135 MB that the broker may deliver at once.
const MESSAGES: usize = 150;

/// Megabytes that the consumer may have resident: two batches of 8 MiB, 16 MiB that wait for them, and a debug build's program.
const MOST: u64 = 90;

#[tokio::test]
async fn large_messages_wait_at_the_broker_and_not_in_the_consumer() -> anyhow::Result<()> {
    let counting = Counting::start().await?;
    let customer = counting.customer().await?;
    counting.consumer(&[]).await?.stop().await?;
    for _ in 0..MESSAGES / 30 {
        counting.publish_all(large_orders_of(30, customer)).await?;
    }

    hold_up(&counting.sql, Moment::Count, &[customer]).await?;
    let consumer = counting.consumer_process(&[("DATABASE_STATEMENT_TIMEOUT", "60s")]).await?;
    // The first batch is held up; the rest is on its way.
    is_held_up(&counting.sql).await?;
    until(async || Ok((counting.waiting(QUEUE).await? == 0).then_some(()))).await?;
    let_go(&counting.sql).await?;

    counting.counted(customer, i64::try_from(MESSAGES)?).await?;
    let resident = Resident::of(&consumer)?;
    ensure!(resident.most < MOST, "{resident:?} MB: {}", consumer.last_lines());
    assert_eq!(counting.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

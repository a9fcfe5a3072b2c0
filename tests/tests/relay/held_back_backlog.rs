//! A long backlog of one aggregate, held back by a stuck event, does not delay other aggregates.

#![expect(clippy::print_stdout, reason = "what was measured belongs to the test's output")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pipeline_tests::outbox::{Outbox, eventually};

/// The longest time for an event without a backlog, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(2);

/// 30,000 events behind one that is stuck, and one behind all of them.
const LINE: &str = "
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at)
    VALUES ('order', 'held', 'order.created', '{}', 1, 'infinity');
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
    SELECT 'order', 'held', 'order.created', '{}' FROM generate_series(1, 30000);
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
    VALUES ('order', 'behind', 'order.created', '{}')";

#[tokio::test]
async fn an_aggregate_of_30000_events_that_are_held_back_neither_hides_nor_slows_the_others()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.sql.batch_execute(LINE).await?;
    let relay = outbox.relay_process(&[]).await?;
    let others_published = async || -> anyhow::Result<()> {
        let published =
            "SELECT count(*) FROM outbox WHERE aggregate_id <> 'held' AND published_at IS NULL";
        eventually(
            "the others are published",
            async || Ok(outbox.count(published, &[]).await? == 0),
        )
        .await
        .with_context(|| relay.log())
    };
    others_published().await?;
    for _ in 0..20 {
        let id = outbox.add("another", "order.created").await?;
        let committed = Instant::now();
        others_published().await?;
        println!("event {id}: published after {:?}", committed.elapsed());
        ensure!(committed.elapsed() < AT_ONCE, "event {id} took {:?}", committed.elapsed());
    }
    assert_eq!(outbox.pending().await?, 30_001, "what is held back is held back");
    Ok(())
}

//! Scheduled events under load: tens of thousands that are due at once, and relays that are killed.

use std::time::Duration;

use anyhow::ensure;
use pipeline_tests::outbox::{Outbox, PATIENCE, connect, eventually};

/// After an outage, say: in each aggregate the event with the higher id was due first.
#[tokio::test]
async fn many_thousands_that_are_due_at_once_are_published() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox
        .sql
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, next_attempt_at)
             SELECT 'order', (n % 10000)::text, 'order.created', '{}', now() + interval '3 seconds' - n * interval '50 microseconds'
             FROM generate_series(1, 20000) AS n;
             -- All in one aggregate.
             INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, next_attempt_at)
             SELECT 'order', 'one', 'order.created', '{}', now() + interval '2 seconds' FROM generate_series(1, 3000)",
        )
        .await?;
    // Failed ones among them are tried as well.
    outbox
        .sql
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at)
             SELECT 'order', 'failed ' || n, 'order.created', '{}', 1, now() + interval '2 seconds' FROM generate_series(1, 3000) AS n",
        )
        .await?;
    let _relay = outbox.relay_process(&[]).await?;
    outbox.all_published().await?;
    Ok(())
}

/// A relay is killed between the confirm and the note of it, again and again.
#[tokio::test]
async fn relays_that_are_killed_lose_no_scheduled_event_and_keep_the_order_of_the_others()
-> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::with_consumer().await?;
    let writing = async {
        let sql = connect(&outbox.database.url).await?;
        for number in 1..=200 {
            // In each aggregate one of two is for later.
            let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers, next_attempt_at)
                          SELECT 'order', kind || aggregate, 'order.created', '{}', jsonb_build_object('number', $1::integer),
                                 CASE kind WHEN 'later ' THEN now() + random() * interval '2 seconds' END
                          FROM generate_series(1, 10) AS aggregate, (VALUES ('ready '), ('later ')) AS kinds (kind)
                          ORDER BY 2";
            sql.execute(insert, &[&number]).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    let killing = async {
        for _ in 0..6 {
            let relay = outbox.relay_process(&[]).await?;
            let before = deliveries.count();
            eventually("it works", async || Ok(deliveries.count() > before + 50)).await?;
            relay.sigkill()?;
            relay.wait_exit(PATIENCE).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(writing, killing)?;
    let relay = outbox.relay_process(&[]).await?;
    outbox.all_published().await?;
    let events = outbox.event_ids().await?;
    eventually("every event is delivered", async || Ok(deliveries.event_ids() == events)).await?;
    for (aggregate, numbers) in deliveries.first_deliveries() {
        let is_in_order = numbers.iter().copied().eq(1..=200);
        ensure!(
            is_in_order || aggregate.starts_with("later"),
            "{aggregate}: {numbers:?}\n{}",
            relay.last_lines()
        );
        ensure!(numbers.len() == 200, "{aggregate}: {numbers:?}");
    }
    Ok(())
}

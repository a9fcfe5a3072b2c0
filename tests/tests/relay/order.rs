//! The order of an aggregate's events, also with late commits.

use std::collections::HashMap;

use outbox_relay::TickOutcome;
use pipeline_tests::outbox::{Outbox, PATIENCE, aggregate_id, connect, event_id, eventually};
use uuid::Uuid;

/// The ids of an aggregate's events, in the order in which they were enqueued.
async fn delivered(outbox: &Outbox, queue: &str) -> anyhow::Result<HashMap<String, Vec<i64>>> {
    let rows = outbox.sql.query("SELECT event_id, id FROM outbox", &[]).await?;
    let ids: HashMap<Uuid, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut delivered: HashMap<String, Vec<i64>> = HashMap::new();
    for message in outbox.take_all(queue).await? {
        delivered.entry(aggregate_id(&message)?).or_default().push(ids[&event_id(&message)?]);
    }
    Ok(delivered)
}

#[tokio::test]
async fn an_aggregates_events_are_delivered_in_order() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox
        .sql
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
             SELECT 'order', (n % 7)::text, 'order.created', '{}' FROM generate_series(1, 500) AS n",
        )
        .await?;
    // Batches that end in the middle of every aggregate.
    outbox.relay(&["--relay-window", "33"])?.until_idle().await?;
    assert_eq!(outbox.pending().await?, 0);
    let delivered = delivered(&outbox, "all").await?;
    assert_eq!(delivered.values().map(Vec::len).sum::<usize>(), 500);
    for (aggregate, ids) in delivered {
        assert!(ids.is_sorted(), "aggregate {aggregate}: {ids:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_event_is_not_sent_before_the_one_ahead_of_it_was_routed() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("shipped", "order.shipped").await?;
    let first = outbox.add("7", "order.created").await?;
    let second = outbox.add("7", "order.shipped").await?;
    let mut relay = outbox.relay(&["--relay-backoff-min", "1h", "--relay-backoff-max", "1h"])?;
    relay.until(TickOutcome::Worked).await?;
    relay.until_idle().await?;
    assert_eq!(outbox.depth("shipped").await?, 0, "the first one was returned");
    let touched =
        "SELECT count(*) FROM outbox WHERE id = $1 AND attempts = 0 AND last_error IS NULL";
    assert_eq!(outbox.count(touched, &[&second]).await?, 1, "the second one was not tried");

    outbox.bind("shipped", "order.created").await?;
    outbox.sql.execute("UPDATE outbox SET next_attempt_at = now()", &[]).await?;
    relay.until_idle().await?;
    assert_eq!(delivered(&outbox, "shipped").await?["7"], [first, second]);
    Ok(())
}

#[tokio::test]
async fn an_event_with_a_lower_id_that_is_committed_late_is_published() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let mut late = connect(&outbox.database.url).await?;
    let transaction = late.transaction().await?;
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                  VALUES ('order', 'late', 'order.created', '{}') RETURNING id";
    let low: i64 = transaction.query_one(insert, &[]).await?.get(0);
    let mut relay = outbox.relay(&[])?;
    for n in 0..20 {
        let high = outbox.add(&n.to_string(), "order.created").await?;
        assert!(high > low);
        relay.until_idle().await?;
    }
    assert_eq!(outbox.take_all("all").await?.len(), 20, "nothing waits for the open transaction");
    transaction.commit().await?;
    relay.until_idle().await?;
    assert_eq!(delivered(&outbox, "all").await?["late"], [low]);
    Ok(())
}

#[tokio::test]
async fn an_event_that_is_committed_late_goes_ahead_of_the_one_of_its_aggregate_that_is_stuck()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let mut late = connect(&outbox.database.url).await?;
    let transaction = late.transaction().await?;
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                  VALUES ('order', '7', 'order.created', '{}') RETURNING id";
    let low: i64 = transaction.query_one(insert, &[]).await?.get(0);
    let stuck = outbox.add("7", &"x".repeat(256)).await?;
    let behind = outbox.add("7", "order.shipped").await?;
    let mut relay = outbox.relay(&[])?;
    relay.until_idle().await?;
    let is_stuck = "SELECT count(*) FROM outbox WHERE id = $1 AND next_attempt_at = 'infinity'";
    assert_eq!(outbox.count(is_stuck, &[&stuck]).await?, 1);
    transaction.commit().await?;
    relay.until_idle().await?;
    assert_eq!(delivered(&outbox, "all").await?["7"], [low]);
    assert_eq!(outbox.pending().await?, 2, "{stuck} waits for a person, and {behind} for {stuck}");
    Ok(())
}

#[tokio::test]
async fn a_relay_that_can_not_reach_the_broker_lets_another_one_publish() -> anyhow::Result<()> {
    let mut server = stack::RabbitServer::start_temporary().await?;
    let shared = Outbox::new().await?;
    shared.queue("all", "#").await?;
    let cut_off = server.vhost("cut-off").await?;
    let settings = [("RABBITMQ_URL", cut_off.amqp_url.as_str())];
    let first = shared.relay_process(&settings).await?;
    first.wait_for_line("took lanes", PATIENCE).await?;
    let mut second = shared.relay(&[])?;
    second.until(TickOutcome::StandingBy).await?;
    server.kill().await?;
    eventually("the other relay publishes", async || {
        Ok(second.relay.tick().await == TickOutcome::Idle)
    })
    .await?;
    shared.add("7", "order.created").await?;
    second.until_idle().await?;
    assert_eq!(shared.pending().await?, 0);
    assert!(first.is_running(), "{}", first.last_lines());
    Ok(())
}

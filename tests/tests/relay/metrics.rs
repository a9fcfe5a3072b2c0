//! The relay's metrics: failures by reason, retries, and rows read by polls.

use anyhow::Context as _;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use pipeline_tests::metrics::{metrics, shows};
use pipeline_tests::outbox::{Outbox, eventually};
use stack::Service;

/// Failed events are retried when the test says so.
const LATE: [(&str, &str); 2] = [("RELAY_BACKOFF_MIN", "1h"), ("RELAY_BACKOFF_MAX", "1h")];

/// An outbox with a queue for `order.created`, and one for `order.full` with room for one message.
async fn outbox() -> anyhow::Result<Outbox> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "order.created").await?;
    let mut full = FieldTable::default();
    full.insert("x-max-length".into(), AMQPValue::LongInt(1));
    full.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    outbox.channel.queue_declare("one".into(), durable, full).await?;
    outbox.bind("one", "order.full").await?;
    Ok(outbox)
}

/// Waits until the metrics show these numbers of failures by reason and of retries.
async fn tells(relay: &Service, failed: [u64; 3], retries: u64) -> anyhow::Result<()> {
    let [returned, nacked, refused] = failed;
    let lines = [
        format!("outbox_relay_failed_total{{reason=\"returned\"}} {returned}"),
        format!("outbox_relay_failed_total{{reason=\"nacked\"}} {nacked}"),
        format!("outbox_relay_failed_total{{reason=\"refused\"}} {refused}"),
        format!("outbox_relay_retries_total {retries}"),
    ];
    shows(relay, &lines.each_ref().map(String::as_str)).await
}

#[tokio::test]
async fn each_way_to_fail_is_told_apart_and_retries_are_counted() -> anyhow::Result<()> {
    let outbox = outbox().await?;
    let relay = outbox.relay_process(&LATE).await?;
    tells(&relay, [0, 0, 0], 0).await?;
    outbox.add("first", "order.full").await?;
    outbox.all_published().await?;
    let settled = "database_transaction_duration_seconds_count{transaction=\"settle_published\"}";
    anyhow::ensure!(metrics(&relay).await?.contains(settled));

    for (aggregate, event_type) in [
        ("returned", "order.unheard"),
        ("another returned", "order.unheard"),
        ("nacked", "order.full"),
        ("heard", "order.created"),
    ] {
        outbox.add(aggregate, event_type).await?;
    }
    // RabbitMQ interprets this header and rejects a value that is not a list.
    outbox
        .sql
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
             VALUES ('order', 'refused', 'order.created', '{}', '{\"CC\": \"x\"}')",
        )
        .await?;
    tells(&relay, [2, 1, 1], 0).await?;

    outbox.bind("all", "order.unheard").await?;
    // They are settled a moment after they are counted.
    eventually("all four are noted", async || {
        let noted = "SELECT count(*) FROM outbox WHERE published_at IS NULL AND attempts = 1";
        Ok(outbox.count(noted, &[]).await? == 4)
    })
    .await?;
    let due = "UPDATE outbox SET next_attempt_at = now() WHERE published_at IS NULL";
    outbox.sql.batch_execute(due).await?;
    // Two are published now.
    tells(&relay, [2, 2, 2], 4).await
}

#[tokio::test]
async fn the_rows_that_polls_read_are_counted() -> anyhow::Result<()> {
    let outbox = outbox().await?;
    let relay = outbox.relay_process(&LATE).await?;
    let version = env!("CARGO_PKG_VERSION");
    let program = format!("build_info{{program=\"outbox-relay\",version=\"{version}\"}} 1");
    shows(&relay, &["outbox_relay_lanes 64", "outbox_relay_poll_rows_total 0", &program]).await?;
    for aggregate in ["a", "b", "c"] {
        outbox.add(aggregate, "order.created").await?;
    }
    outbox.all_published().await?;
    let shown = metrics(&relay).await?;
    let rows = shown.lines().find_map(|line| line.strip_prefix("outbox_relay_poll_rows_total "));
    assert!(rows.context("no rows")?.parse::<u64>()? >= 3, "{shown}");
    assert!(shown.contains("outbox_relay_window_events_bucket{le=\"500\"}"), "{shown}");
    Ok(())
}

//! Events that can't be delivered, and their effect on others.

use std::collections::HashMap;

use lapin::options::{ExchangeDeleteOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use outbox_relay::TickOutcome;
use pipeline_tests::outbox::{EXCHANGE, Outbox, aggregate_id, event_id, eventually};

/// Failed events are retried soon.
const SOON: [&str; 4] = ["--relay-backoff-min", "20ms", "--relay-backoff-max", "20ms"];

/// Long delays, so that the failed events are still waiting when they are checked, however busy the
/// machine is.
const LATE: [&str; 4] = ["--relay-backoff-min", "1h", "--relay-backoff-max", "1h"];

#[tokio::test]
async fn a_mixed_window_marks_exactly_the_events_that_were_routed() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("quorum", "order.created").await?;
    // Confirmed at once, so that the broker confirms routed and returned messages together.
    let transient = QueueDeclareOptions { exclusive: true, ..Default::default() };
    outbox.channel.queue_declare("transient".into(), transient, FieldTable::default()).await?;
    outbox.bind("transient", "order.fast").await?;
    let mut relay = outbox.relay(&LATE)?;
    for round in 0..20 {
        let (queue, routed) = [("quorum", "order.created"), ("transient", "order.fast")][round % 2];
        outbox.sql.batch_execute("TRUNCATE outbox").await?;
        outbox
            .sql
            .execute(
                "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                 SELECT 'order', n::text, CASE WHEN n % 7 = 0 THEN 'order.unheard' ELSE $1 END, '{}'
                 FROM generate_series(1, 200) AS n",
                &[&routed],
            )
            .await?;
        relay.until(TickOutcome::Worked).await?;
        let wrong = outbox
            .sql
            .query(
                "SELECT aggregate_id FROM outbox
                 WHERE (event_type = 'order.unheard') = (published_at IS NOT NULL)
                    OR (event_type = 'order.unheard') <>
                       (attempts = 1 AND next_attempt_at > now()
                        AND last_error = 'no queue is bound to the exchange orders.events for the routing key order.unheard')",
                &[],
            )
            .await?;
        let wrong: Vec<String> = wrong.iter().map(|row| row.get(0)).collect();
        assert!(wrong.is_empty(), "round {round}: {wrong:?}");
        assert_eq!(outbox.take_all(queue).await?.len(), 172);
    }
    Ok(())
}

#[tokio::test]
async fn a_row_that_can_not_be_a_message_is_stuck_with_the_reason_and_harms_no_other()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let long = "x".repeat(256);
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers, created_at)
                  VALUES ('order', $1, $2, '{}', $3::text::jsonb, coalesce($4::text::timestamptz, now()))";
    let huge = format!(r#"{{"note":"{}"}}"#, "x".repeat(200_000));
    let name = format!(r#"{{"{long}":1}}"#);
    let rows: [(&str, &str, &str, Option<&str>, &str); 8] = [
        ("key", &long, "{}", None, "event_type is the routing key and 256 bytes long"),
        ("array", "order.created", "[]", None, "the headers are an array"),
        ("nested", "order.created", r#"{"a":{}}"#, None, "the header \"a\" is an object"),
        ("name", "order.created", &name, None, "the name of a header is 256 bytes long"),
        ("number", "order.created", r#"{"a":1e400}"#, None, "the headers can't be read"),
        ("huge", "order.created", &huge, None, "the headers and the aggregate's name take"),
        ("never", "order.created", "{}", Some("infinity"), "created_at is not a time"),
        ("old", "order.created", "{}", Some("0044-03-15 BC"), "created_at is not a time"),
    ];
    for (aggregate, event_type, headers, created_at, _) in &rows {
        outbox.sql.execute(insert, &[aggregate, event_type, headers, created_at]).await?;
        // One behind it, which must wait, and one of another aggregate, which need not.
        outbox.add(aggregate, "order.shipped").await?;
        outbox.add(&format!("beside-{aggregate}"), "order.created").await?;
    }
    let mut relay = outbox.relay(&[])?;
    relay.until_idle().await?;

    for (aggregate, .., reason) in &rows {
        let row = outbox
            .sql
            .query_one(
                "SELECT last_error, next_attempt_at = 'infinity', attempts FROM outbox
                 WHERE aggregate_id = $1 ORDER BY id LIMIT 1",
                &[aggregate],
            )
            .await?;
        let error: Option<String> = row.get(0);
        assert!(
            error.as_ref().is_some_and(|error| error.starts_with(reason)),
            "{aggregate}: {error:?}"
        );
        assert_eq!((row.get(1), row.get(2)), (Some(true), 1), "{aggregate}");
    }
    let published: Vec<String> =
        outbox.take_all("all").await?.iter().map(aggregate_id).collect::<Result<_, _>>()?;
    let beside: Vec<String> = rows.iter().map(|row| format!("beside-{}", row.0)).collect();
    assert_eq!(published, beside, "only those of other aggregates, in order");
    Ok(())
}

#[tokio::test]
async fn a_returned_event_is_published_once_a_queue_is_bound_and_holds_back_only_its_own_aggregate()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("heard", "order.heard").await?;
    // Far more held-back events than a batch holds, ahead of all others.
    outbox
        .sql
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
             SELECT 'order', 'slow-' || n % 10, CASE WHEN n < 10 THEN 'order.unheard' ELSE 'order.heard' END, '{}'
             FROM generate_series(0, 999) AS n",
        )
        .await?;
    outbox.add("other", "order.heard").await?;
    let mut relay = outbox.relay(&[&["--relay-window", "20"][..], &SOON].concat())?;
    eventually("the other aggregate's event is published", async || {
        relay.relay.tick().await;
        Ok(outbox.pending().await? == 1000)
    })
    .await?;
    let messages = outbox.take_all("heard").await?;
    assert_eq!(messages.len(), 1, "those behind the returned ones wait");
    assert_eq!(aggregate_id(&messages[0])?, "other");

    eventually("each first one was tried again", async || {
        relay.relay.tick().await;
        let tried = "SELECT min(attempts)::bigint FROM outbox WHERE event_type = 'order.unheard'";
        Ok(outbox.count(tried, &[]).await? >= 3)
    })
    .await?;
    outbox.bind("heard", "order.unheard").await?;
    eventually("all are published", async || {
        relay.relay.tick().await;
        Ok(outbox.pending().await? == 0)
    })
    .await?;

    let ids = outbox.sql.query("SELECT event_id, id FROM outbox", &[]).await?;
    let ids: HashMap<uuid::Uuid, i64> = ids.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut last: HashMap<String, i64> = HashMap::new();
    let messages = outbox.take_all("heard").await?;
    assert_eq!(messages.len(), 1000, "each once");
    for message in &messages {
        let id = ids[&event_id(message)?];
        let before = last.insert(aggregate_id(message)?, id);
        assert!(before.is_none_or(|before| before < id), "{id} came after {before:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_failing_event_is_retried_less_and_less_often() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let id = outbox.add("7", "order.unheard").await?;
    let mut relay = outbox.relay(&["--relay-backoff-min", "10s", "--relay-backoff-max", "60s"])?;
    for (attempts, shortest, longest) in
        [(1, 5, 10), (2, 10, 20), (3, 20, 40), (4, 30, 60), (5, 30, 60)]
    {
        relay.until(TickOutcome::Worked).await?;
        let row = outbox
            .sql
            .query_one(
                "SELECT attempts, extract(epoch FROM next_attempt_at - now())::double precision
                 FROM outbox WHERE id = $1",
                &[&id],
            )
            .await?;
        let (made, wait): (i32, f64) = (row.get(0), row.get(1));
        assert_eq!(made, attempts);
        // Some time has passed since the row was written, but less than seconds.
        let (shortest, longest) = (f64::from(shortest) - 4.0, f64::from(longest));
        assert!(wait > shortest && wait <= longest, "attempt {attempts}: {wait} s");
        relay.until_idle().await?;
        let made = "SELECT attempts::bigint FROM outbox WHERE id = $1";
        assert_eq!(outbox.count(made, &[&id]).await?, i64::from(attempts), "not before its time");
        outbox.sql.execute("UPDATE outbox SET next_attempt_at = now()", &[]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_message_over_which_the_broker_closes_the_channel_is_charged_alone() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    for n in 0..60 {
        outbox.add(&n.to_string(), "order.created").await?;
    }
    // RabbitMQ interprets this header and rejects a value that is not a list.
    outbox
        .sql
        .execute(
            "UPDATE outbox SET headers = '{\"CC\":\"x\"}' WHERE aggregate_id IN ('20', '40')",
            &[],
        )
        .await?;
    let mut relay = outbox.relay(&LATE)?;
    relay.until_idle().await?;
    let failed = outbox
        .sql
        .query("SELECT aggregate_id, attempts, last_error FROM outbox WHERE published_at IS NULL ORDER BY id", &[])
        .await?;
    let failed: Vec<(String, i32, String)> =
        failed.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    for ((aggregate, attempts, error), expected) in failed.iter().zip(["20", "40"]) {
        assert_eq!((aggregate.as_str(), *attempts), (expected, 1));
        assert!(
            error
                .starts_with("the broker closed the channel over the message: PRECONDITION_FAILED"),
            "{error}"
        );
    }
    let mut delivered: Vec<String> =
        outbox.take_all("all").await?.iter().map(aggregate_id).collect::<Result<_, _>>()?;
    delivered.sort();
    delivered.dedup();
    assert_eq!(delivered.len(), 58);
    Ok(())
}

#[tokio::test]
async fn an_exchange_that_was_deleted_is_declared_again_and_nothing_is_lost() -> anyhow::Result<()>
{
    let mut outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let mut relay = outbox.relay(&SOON)?;
    outbox.add("7", "order.created").await?;
    relay.until_idle().await?;
    let charged = "SELECT count(*) FROM outbox WHERE last_error LIKE '%NOT_FOUND%'";
    // One alone, and several.
    for aggregates in [&["7"][..], &["7", "8"]] {
        outbox.channel.exchange_delete(EXCHANGE.into(), ExchangeDeleteOptions::default()).await?;
        for aggregate in aggregates {
            outbox.add(aggregate, "order.shipped").await?;
        }
        eventually("the exchange is there again, so that the queue can be bound", async || {
            relay.relay.tick().await;
            assert_eq!(outbox.count(charged, &[]).await?, 0, "it is no message's fault");
            // A rejected binding closes its channel.
            outbox.reconnect().await?;
            outbox.bind("all", "#").await?;
            Ok(true)
        })
        .await?;
        eventually("all is published", async || {
            relay.relay.tick().await;
            assert_eq!(outbox.count(charged, &[]).await?, 0, "it is no message's fault");
            Ok(outbox.pending().await? == 0)
        })
        .await?;
    }
    assert_eq!(outbox.take_all("all").await?.len(), 4);
    Ok(())
}

#[tokio::test]
async fn an_event_is_returned_again_when_its_queue_is_unbound() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let mut relay = outbox.relay(&["--relay-backoff-min", "1h", "--relay-backoff-max", "1h"])?;
    relay.until_idle().await?;
    outbox
        .channel
        .queue_unbind("all".into(), EXCHANGE.into(), "#".into(), FieldTable::default())
        .await?;
    outbox.add("7", "order.created").await?;
    relay.until(TickOutcome::Worked).await?;
    assert_eq!(outbox.pending().await?, 1, "a confirm is no proof that a message was routed");
    Ok(())
}

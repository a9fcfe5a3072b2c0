//! Stuck events, and the events behind them.

use std::collections::HashMap;

use outbox_relay::TickOutcome;
use pipeline_tests::outbox::{Outbox, Stepped, aggregate_id, event_id, eventually};
use uuid::Uuid;

/// Stuck after three attempts in quick succession.
const THREE: [&str; 6] =
    ["--relay-max-attempts", "3", "--relay-backoff-min", "20ms", "--relay-backoff-max", "20ms"];

const SKIP: [&str; 2] = ["--relay-when-stuck", "skip"];

const STUCK: &str =
    "SELECT count(*) FROM outbox WHERE published_at IS NULL AND next_attempt_at = 'infinity'";

/// Steps until this many events are stuck and nothing is due.
async fn until_stuck(outbox: &Outbox, relay: &mut Stepped, events: i64) -> anyhow::Result<()> {
    eventually("those that fail are given up", async || {
        relay.relay.tick().await;
        Ok(outbox.count(STUCK, &[]).await? == events)
    })
    .await?;
    relay.until_idle().await
}

/// The ids of each aggregate's events, in the order in which they were enqueued.
async fn delivered(outbox: &Outbox, queue: &str) -> anyhow::Result<HashMap<String, Vec<i64>>> {
    let rows = outbox.sql.query("SELECT event_id, id FROM outbox", &[]).await?;
    let ids: HashMap<Uuid, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut delivered: HashMap<String, Vec<i64>> = HashMap::new();
    for message in outbox.take_all(queue).await? {
        delivered.entry(aggregate_id(&message)?).or_default().push(ids[&event_id(&message)?]);
    }
    Ok(delivered)
}

/// Adds events to an aggregate and returns their ids.
async fn add(outbox: &Outbox, aggregate: &str, event_types: &[&str]) -> anyhow::Result<Vec<i64>> {
    let mut ids = Vec::new();
    for event_type in event_types {
        ids.push(outbox.add(aggregate, event_type).await?);
    }
    Ok(ids)
}

#[tokio::test]
async fn an_event_is_given_up_after_so_many_attempts_and_its_aggregate_waits_for_a_person()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "order.heard").await?;
    let ids = add(&outbox, "7", &["order.heard", "order.unheard", "order.heard"]).await?;
    let beside = add(&outbox, "8", &["order.heard", "order.heard"]).await?;
    let mut relay = outbox.relay(&THREE)?;
    until_stuck(&outbox, &mut relay, 1).await?;
    let row =
        outbox.sql.query_one("SELECT id, attempts, last_error FROM outbox_stuck", &[]).await?;
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i32>(1)), (ids[1], 3));
    assert_eq!(
        row.get::<_, &str>(2),
        "given up after 3 attempts: no queue is bound to the exchange orders.events for the routing key order.unheard"
    );
    let got = delivered(&outbox, "all").await?;
    assert_eq!((&got["7"], &got["8"]), (&vec![ids[0]], &beside));
    assert_eq!(outbox.pending().await?, 2, "the one that is stuck, and the one behind it");

    // An operator fixes the cause.
    outbox.bind("all", "order.unheard").await?;
    let stuck = "SELECT event_id::text FROM outbox WHERE next_attempt_at = 'infinity'";
    let stuck: String = outbox.sql.query_one(stuck, &[]).await?.get(0);
    // The command ends once the relay has acknowledged the change.
    let retried = relay.work_until(outbox.command(&["retry", &stuck])).await?;
    assert_eq!(retried.code, Some(0), "{retried:?}");
    relay.until_idle().await?;
    assert_eq!(delivered(&outbox, "all").await?["7"], ids[1..]);
    Ok(())
}

#[tokio::test]
async fn without_a_limit_an_event_is_tried_for_ever() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let id = outbox.add("7", "order.unheard").await?;
    outbox.sql.execute("UPDATE outbox SET attempts = 100000", &[]).await?;
    let mut relay = outbox.relay(&["--relay-backoff-min", "1h", "--relay-backoff-max", "1h"])?;
    relay.until(TickOutcome::Worked).await?;
    let waits = "SELECT count(*) FROM outbox
                 WHERE id = $1 AND attempts = 100001 AND next_attempt_at < 'infinity'";
    assert_eq!(outbox.count(waits, &[&id]).await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_event_that_is_retried_after_it_was_given_up_is_stuck_again_when_it_fails_again()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.add("7", "order.unheard").await?;
    let mut relay = outbox.relay(&THREE)?;
    until_stuck(&outbox, &mut relay, 1).await?;
    outbox.sql.execute("UPDATE outbox SET next_attempt_at = now()", &[]).await?;
    until_stuck(&outbox, &mut relay, 1).await?;
    let error: String = outbox.sql.query_one("SELECT last_error FROM outbox", &[]).await?.get(0);
    assert!(error.starts_with("given up after 4 attempts: "), "{error}");
    Ok(())
}

#[tokio::test]
async fn where_stuck_events_are_skipped_their_aggregates_go_on_in_order() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "order.heard").await?;
    let long = "x".repeat(256);
    // Stuck after some attempts, one of them in the middle of a backlog longer than a relay keeps;
    // and without any message.
    let mut ids = add(&outbox, "7", &["order.heard", "order.unheard"]).await?;
    for _ in 0..300 {
        ids.push(outbox.add("7", "order.heard").await?);
    }
    ids.extend(add(&outbox, "7", &["order.unheard", "order.heard"]).await?);
    let no_messages = add(
        &outbox,
        "8",
        &[&long, "order.heard", &long, &long, "order.heard", "order.heard", &long],
    )
    .await?;
    let mut relay = outbox.relay(&[&THREE[..], &SKIP].concat())?;
    eventually("those that fail were tried once", async || {
        relay.relay.tick().await;
        Ok(outbox
            .count("SELECT max(attempts)::bigint FROM outbox WHERE aggregate_id = '7'", &[])
            .await?
            >= 1)
    })
    .await?;
    until_stuck(&outbox, &mut relay, 6).await?;
    let got = delivered(&outbox, "all").await?;
    let expected: Vec<i64> =
        ids.iter().enumerate().filter(|(n, _)| ![1, 302].contains(n)).map(|(_, id)| *id).collect();
    assert_eq!(got["7"], expected);
    assert_eq!(got["8"], [no_messages[1], no_messages[4], no_messages[5]]);
    assert_eq!(outbox.pending().await?, 6, "nothing waits but what is stuck");
    Ok(())
}

#[tokio::test]
async fn an_event_that_fails_holds_back_those_behind_it_until_it_is_given_up_and_skipped()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "order.heard").await?;
    let ids = add(&outbox, "7", &["order.unheard", "order.heard", "order.heard"]).await?;
    let hours = ["--relay-backoff-min", "1h", "--relay-backoff-max", "1h"];
    let mut relay = outbox.relay(&[&["--relay-max-attempts", "2"][..], &hours, &SKIP].concat())?;
    relay.until(TickOutcome::Worked).await?;
    relay.until_idle().await?;
    assert_eq!(outbox.depth("all").await?, 0, "it is not stuck yet");
    outbox
        .sql
        .execute("UPDATE outbox SET next_attempt_at = now() WHERE id = $1", &[&ids[0]])
        .await?;
    until_stuck(&outbox, &mut relay, 1).await?;
    eventually("those behind it are published", async || {
        relay.relay.tick().await;
        Ok(outbox.pending().await? == 1)
    })
    .await?;
    assert_eq!(delivered(&outbox, "all").await?["7"], ids[1..]);
    Ok(())
}

#[tokio::test]
async fn where_order_does_not_matter_nothing_waits_for_an_event_that_fails() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "order.heard").await?;
    let long = "x".repeat(256);
    let ids = add(&outbox, "7", &["order.unheard", "order.heard", &long, "order.heard"]).await?;
    let hours = ["--relay-backoff-min", "1h", "--relay-backoff-max", "1h"];
    let mut relay = outbox.relay(&[&["--relay-ordering", "none"][..], &hours].concat())?;
    relay.until_idle().await?;
    let mut got = delivered(&outbox, "all").await?.remove("7").unwrap_or_default();
    got.sort_unstable();
    assert_eq!(got, [ids[1], ids[3]]);
    let later = outbox.add("7", "order.heard").await?;
    relay.until_idle().await?;
    assert_eq!(delivered(&outbox, "all").await?["7"], [later]);
    assert_eq!(outbox.pending().await?, 2, "one waits for its next attempt, one is stuck");
    outbox.bind("all", "order.unheard").await?;
    outbox
        .sql
        .execute("UPDATE outbox SET next_attempt_at = now() WHERE id = $1", &[&ids[0]])
        .await?;
    eventually("the one that failed is tried again", async || {
        relay.relay.tick().await;
        Ok(outbox.pending().await? == 1)
    })
    .await
}

//! Events that are written for later (`next_attempt_at` in the future, no attempts): they hold back
//! nobody, and are published when their time has come, before the later ones of their aggregate.

use anyhow::ensure;
use pipeline_tests::outbox::{Outbox, eventually};
use uuid::Uuid;

/// Adds an event for a time, an expression of SQL, as a service does. Returns its `event_id`.
async fn schedule(outbox: &Outbox, aggregate: &str, number: i32, at: &str) -> anyhow::Result<Uuid> {
    let insert = format!(
        "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers, next_attempt_at)
         VALUES ('order', $1, 'order.created', '{{}}', jsonb_build_object('number', $2::integer), {at})
         RETURNING event_id"
    );
    Ok(outbox.sql.query_one(&insert, &[&aggregate, &number]).await?.get(0))
}

/// Adds events that are ready, numbered from `first` to `last`.
async fn add(outbox: &Outbox, aggregate: &str, first: i32, last: i32) -> anyhow::Result<()> {
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
                  SELECT 'order', $1, 'order.created', '{}', jsonb_build_object('number', number)
                  FROM generate_series($2::integer, $3) AS number ORDER BY number";
    outbox.sql.execute(insert, &[&aggregate, &first, &last]).await?;
    Ok(())
}

#[tokio::test]
async fn a_scheduled_event_holds_back_nobody_and_goes_when_its_time_has_come() -> anyhow::Result<()>
{
    let (outbox, deliveries) = Outbox::with_consumer().await?;
    let relay = outbox.relay_process(&[]).await?;
    let later = schedule(&outbox, "7", 1, "now() + interval '1 hour'").await?;
    add(&outbox, "7", 2, 4).await?;
    deliveries.wait_for(3).await?;
    assert_eq!(deliveries.first_deliveries()["7"], [2, 3, 4], "{}", relay.last_lines());
    eventually("all but one are settled", async || Ok(outbox.pending().await? == 1)).await?;

    outbox
        .sql
        .execute("UPDATE outbox SET next_attempt_at = now() WHERE event_id = $1", &[&later])
        .await?;
    outbox.all_published().await?;
    deliveries.wait_for(4).await?;
    assert_eq!(deliveries.first_deliveries()["7"], [2, 3, 4, 1]);
    let attempts = "SELECT count(*) FROM outbox WHERE attempts > 0 OR next_attempt_at IS NOT NULL";
    assert_eq!(outbox.count(attempts, &[]).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_scheduled_event_is_published_at_its_time_by_itself() -> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::with_consumer().await?;
    let _relay = outbox.relay_process(&[]).await?;
    schedule(&outbox, "7", 1, "now() + interval '2 seconds'").await?;
    outbox.all_published().await?;
    deliveries.wait_for(1).await?;
    let early =
        "SELECT count(*) FROM outbox WHERE published_at < created_at + interval '2 seconds'";
    assert_eq!(outbox.count(early, &[]).await?, 0, "not before");
    let late =
        "SELECT count(*) FROM outbox WHERE published_at > created_at + interval '30 seconds'";
    assert_eq!(outbox.count(late, &[]).await?, 0);
    Ok(())
}

#[tokio::test]
async fn an_event_that_became_due_while_no_relay_was_there_comes_in_the_order_of_its_id()
-> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::with_consumer().await?;
    // More than a scan reads, so that the relay comes to it by and by.
    add(&outbox, "7", 1, 2500).await?;
    schedule(&outbox, "7", 2501, "now() + interval '1 millisecond'").await?;
    schedule(&outbox, "7", -1, "now() + interval '1 hour'").await?;
    schedule(&outbox, "7", -2, "'infinity'").await?;
    add(&outbox, "7", 2502, 2600).await?;
    let _relay = outbox.relay_process(&[]).await?;
    eventually("all but two are published", async || Ok(outbox.pending().await? == 2)).await?;
    deliveries.wait_for(2600).await?;
    let first = deliveries.first_deliveries();
    assert!(first["7"].iter().copied().eq(1..=2600), "{first:?}");
    Ok(())
}

#[tokio::test]
async fn a_due_event_goes_before_all_later_ones_of_its_aggregate_that_are_not_in_flight()
-> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::with_consumer().await?;
    let later = schedule(&outbox, "7", 1, "now() + interval '1 hour'").await?;
    // They go one after the other, far more than a relay keeps of one aggregate.
    add(&outbox, "7", 2, 20_000).await?;
    let _relay = outbox.relay_process(&[]).await?;
    deliveries.wait_for(50).await?;
    outbox
        .sql
        .execute("UPDATE outbox SET next_attempt_at = now() WHERE event_id = $1", &[&later])
        .await?;
    let published = "SELECT count(*) FROM outbox WHERE event_id = $1 AND published_at IS NOT NULL";
    eventually("it is published", async || Ok(outbox.count(published, &[&later]).await? == 1))
        .await?;
    let is_delivered = async || Ok(deliveries.event_ids().contains(&later));
    eventually("it is delivered", is_delivered).await?;
    let numbers = deliveries.first_deliveries().remove("7").unwrap_or_default();
    let at = numbers.iter().position(|number| *number == 1).unwrap_or(usize::MAX);
    ensure!(at < 19_000, "it came after {at} others");
    let others = numbers.iter().copied().filter(|number| *number != 1);
    ensure!(others.eq((2..).take(numbers.len() - 1)), "the others are in order");
    Ok(())
}

#[tokio::test]
async fn a_parked_event_waits_for_a_person() -> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::with_consumer().await?;
    let _relay = outbox.relay_process(&[]).await?;
    let parked = schedule(&outbox, "7", 1, "'infinity'").await?.to_string();
    add(&outbox, "7", 2, 2).await?;
    deliveries.wait_for(1).await?;
    let retried = outbox.command(&["retry", &parked]).await?;
    assert_eq!(retried.code, Some(0), "{retried:?}");
    deliveries.wait_for(2).await?;
    assert_eq!(deliveries.first_deliveries()["7"], [2, 1]);
    Ok(())
}

#[tokio::test]
async fn discard_cancels_a_scheduled_event() -> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::with_consumer().await?;
    let _relay = outbox.relay_process(&[]).await?;
    outbox.shared_among(1).await?;
    let later = schedule(&outbox, "7", 1, "now() + interval '1 hour'").await?.to_string();
    let discarded = outbox.command(&["discard", &later, "--reason", "cancelled"]).await?;
    assert_eq!(discarded.code, Some(0), "{discarded:?}");
    add(&outbox, "7", 2, 2).await?;
    outbox.all_published().await?;
    deliveries.wait_for(1).await?;
    assert_eq!(deliveries.first_deliveries()["7"], [2]);
    let audit =
        "SELECT count(*) FROM outbox_audit WHERE action = 'discard' AND event_id = $1::text::uuid";
    assert_eq!(outbox.count(audit, &[&later]).await?, 1);
    Ok(())
}

#[tokio::test]
async fn edit_moves_a_scheduled_event_and_no_failed_one() -> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::with_consumer().await?;
    let _relay = outbox.relay_process(&[]).await?;
    outbox.shared_among(1).await?;
    let person = outbox.person("outbox_operator").await?;
    let later = schedule(&outbox, "7", 1, "now() + interval '1 hour'").await?;
    let id = later.to_string();
    let at = async |at: &str| {
        let ended =
            outbox.command_as(&person, &["edit", &id, "--at", at, "--reason", "moved"]).await?;
        ensure!(ended.code == Some(0), "{ended:?}");
        anyhow::Ok(())
    };
    at("infinity").await?;
    let parked = "SELECT count(*) FROM outbox WHERE next_attempt_at = 'infinity' AND attempts = 0";
    assert_eq!(outbox.count(parked, &[]).await?, 1);
    let soon = "SELECT to_json(now() + interval '3 seconds') #>> '{}'";
    let soon: String = outbox.sql.query_one(soon, &[]).await?.get(0);
    at(&soon).await?;
    deliveries.wait_for(1).await?;
    let early = "SELECT count(*) FROM outbox WHERE published_at < $1::text::timestamptz";
    eventually("it is settled", async || Ok(outbox.pending().await? == 0)).await?;
    assert_eq!(outbox.count(early, &[&soon]).await?, 0);
    let moved = "SELECT count(*) FROM outbox_audit WHERE action = 'edit' AND event_id = $1
                 AND detail -> 'before' ? 'next_attempt_at' AND detail -> 'after' ? 'next_attempt_at'";
    assert_eq!(outbox.count(moved, &[&later]).await?, 2);

    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at)
                  VALUES ('order', '8', 'order.created', '{}', 1, 'infinity') RETURNING event_id";
    let stuck: Uuid = outbox.sql.query_one(insert, &[]).await?.get(0);
    let stuck = stuck.to_string();
    let ended = outbox
        .command_as(&person, &["edit", &stuck, "--at", "2024-02-29T22:30:00Z", "--reason", "moved"])
        .await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("has failed before"), "{ended:?}");
    let ended = outbox
        .command_as(&person, &["edit", &stuck, "--at", "tomorrow", "--reason", "moved"])
        .await?;
    assert_eq!(ended.code, Some(64), "{ended:?}");
    Ok(())
}

/// The relay has found it already, and keeps it until those before it are confirmed.
#[tokio::test]
async fn an_event_that_is_moved_while_it_waits_for_its_turn_is_not_published() -> anyhow::Result<()>
{
    let (outbox, deliveries) = Outbox::with_consumer().await?;
    add(&outbox, "7", 1, 1000).await?;
    // Windows of four events, far fewer than the 128 that it keeps of one aggregate.
    let mut relay = outbox.relay(&["--relay-window", "4"])?;
    let settled = "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL";
    while outbox.count(settled, &[]).await? < 20 {
        Box::pin(relay.relay.tick()).await;
    }
    // Behind those that are sent and not settled, and the 32 whose contents are loaded beforehand.
    let next =
        "SELECT event_id FROM outbox WHERE published_at IS NULL ORDER BY id OFFSET 100 LIMIT 1";
    let next: Uuid = outbox.sql.query_one(next, &[]).await?.get(0);
    let park = "UPDATE outbox SET next_attempt_at = 'infinity' WHERE event_id = $1";
    outbox.sql.execute(park, &[&next]).await?;
    relay.until_idle().await?;
    deliveries.wait_for(999).await?;
    assert_eq!(outbox.pending().await?, 1);
    assert!(!deliveries.event_ids().contains(&next));
    Ok(())
}

#[tokio::test]
async fn a_scheduled_event_that_fails_holds_back_the_later_ones() -> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::with_consumer().await?;
    let _relay = outbox.relay_process(&[]).await?;
    // A row that can't be a message.
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers, next_attempt_at)
                  VALUES ('order', '7', 'order.created', '{}', '[]', now() + interval '10 milliseconds')";
    outbox.sql.batch_execute(insert).await?;
    let stuck = "SELECT count(*) FROM outbox WHERE attempts = 1 AND next_attempt_at = 'infinity'";
    eventually("it is stuck", async || Ok(outbox.count(stuck, &[]).await? == 1)).await?;
    add(&outbox, "7", 2, 2).await?;
    add(&outbox, "8", 1, 1).await?;
    deliveries.wait_for(1).await?;
    eventually("the other one is settled", async || Ok(outbox.pending().await? == 2)).await?;
    assert!(!deliveries.first_deliveries().contains_key("7"));
    Ok(())
}

#[tokio::test]
async fn commands_tell_scheduled_and_parked_events_from_failed_ones() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let later = schedule(&outbox, "7", 1, "now() + interval '1 hour'").await?.to_string();
    schedule(&outbox, "7", 2, "'infinity'").await?;
    add(&outbox, "7", 3, 3).await?;
    let states = |ended: Vec<serde_json::Value>| -> Vec<String> {
        ended.iter().map(|event| event["state"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let pending = outbox.command(&["events", "--pending", "--json"]).await?.json_lines()?;
    assert_eq!(states(pending), ["scheduled", "parked", "ready"]);
    let all = outbox.command(&["events", "--json"]).await?.json_lines()?;
    assert_eq!(states(all), ["ready", "parked", "scheduled"]);
    let stuck = outbox.command(&["events", "--stuck", "--json"]).await?.json_lines()?;
    assert!(stuck.is_empty(), "{stuck:?}");
    let shown = outbox.command(&["show", &later, "--json"]).await?.json()?;
    assert_eq!(shown["event"]["state"], "scheduled");
    let backlog = &outbox.command(&["status", "--json"]).await?.json()?["backlog"];
    for (key, count) in
        [("pending", 3), ("scheduled", 1), ("parked", 1), ("waiting", 0), ("stuck", 0)]
    {
        assert_eq!(backlog[key], count, "{key}: {backlog}");
    }
    let page = outbox.command(&["status"]).await?.out;
    assert!(
        page.contains("1 ready, 0 waiting for their next attempt, 0 stuck, 1 scheduled, 1 parked"),
        "{page}"
    );
    Ok(())
}

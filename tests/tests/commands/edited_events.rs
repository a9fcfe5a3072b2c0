//! An operator's edit of a row that a relay has prefetched is what is published, or paused.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use pipeline_tests::edited_events::{AuditLock, add, before_a_proxy, is_reported};
use pipeline_tests::outbox::{Outbox, Stepped, eventually};
use pipeline_tests::proxy::{Faults, Proxy};
use serde_json::{Value, json};

/// A relay that has the first of three events of an aggregate in flight and the others prefetched.
/// Returns the others' ids.
async fn loaded_ahead(outbox: &Outbox, broker: &Proxy) -> anyhow::Result<(Stepped, [String; 2])> {
    let mut relay = outbox.relay(&[])?;
    relay.until_idle().await?;
    broker.to_client(Faults::HELD);
    add(outbox, "1", None).await?;
    let behind = [add(outbox, "1", None).await?, add(outbox, "1", None).await?];
    // It sends the window and prefetches in the same step.
    relay
        .work_until(eventually("it is sent", async || Ok(outbox.depth("all").await? == 1)))
        .await?;
    Ok((relay, behind))
}

/// The contents of the messages in the queue.
async fn arrived(outbox: &Outbox) -> anyhow::Result<Vec<String>> {
    let messages = outbox.take_all("all").await?;
    let said = messages.iter().map(|message| {
        let body: Value = serde_json::from_slice(&message.delivery.data)?;
        Ok(body["data"]["as"].as_str().context("it says")?.to_owned())
    });
    said.collect()
}

const EDIT: &str =
    r#"UPDATE outbox SET payload = '{"as": "after"}' WHERE event_id = $1::text::uuid"#;

#[tokio::test]
async fn an_edit_of_an_event_that_was_loaded_ahead_is_what_is_published_after_a_second()
-> anyhow::Result<()> {
    let (outbox, broker) = before_a_proxy().await?;
    let (mut relay, [second, third]) = loaded_ahead(&outbox, &broker).await?;
    for event in [&second, &third] {
        outbox.sql.execute(EDIT, &[event]).await?;
    }
    // This tests the maximum age of prefetched events.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1100) {
        Box::pin(relay.relay.tick()).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    broker.to_client(Faults::default());
    relay.until_idle().await?;
    assert_eq!(arrived(&outbox).await?, ["before", "after", "after"]);
    Ok(())
}

#[tokio::test]
async fn an_edit_is_what_is_published_once_a_command_has_returned() -> anyhow::Result<()> {
    let (outbox, broker) = before_a_proxy().await?;
    let stuck = add(&outbox, "2", Some("infinity")).await?;
    let (mut relay, [second, third]) = loaded_ahead(&outbox, &broker).await?;
    outbox.sql.execute(EDIT, &[&second]).await?;
    let arguments = ["discard", "--reason", "x", "--json", &stuck, &third];
    let ended = relay.work_until(outbox.command(&arguments)).await?;
    broker.to_client(Faults::default());
    assert_eq!((ended.code, &ended.json()?["in_flight"]), (Some(0), &json!([])), "{ended:?}");
    relay.until_idle().await?;
    assert_eq!(arrived(&outbox).await?, ["before", "after"]);
    Ok(())
}

/// A relay publishes it at once, and usually before it looks for changes.
#[tokio::test]
async fn an_event_that_is_due_by_its_edit_is_not_told_to_be_in_flight() -> anyhow::Result<()> {
    let (outbox, _broker) = before_a_proxy().await?;
    let mut relay = outbox.relay(&[])?;
    relay.until_idle().await?;
    let seen = async |audit_id: i64| {
        eventually("the relay has seen the change", async || {
            is_reported(&outbox, AuditLock::Seen, audit_id).await
        })
        .await
    };
    for turn in 0..5 {
        // So that the relay reads the audit table just now, and not in the next tenth of a second.
        let other =
            "INSERT INTO outbox_audit (actor, action) VALUES ('alice', 'retry') RETURNING id";
        let other: i64 = outbox.sql.query_one(other, &[]).await?.get("id");
        relay.work_until(seen(other)).await?;
        let edit = "WITH added AS (INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                                   VALUES ('order', $1, 'order.created', '{\"as\": \"after\"}') RETURNING *)
                    INSERT INTO outbox_audit (actor, action, event_id, event)
                    SELECT 'alice', 'edit', event_id, to_jsonb(added) FROM added RETURNING id";
        let edited: i64 = outbox.sql.query_one(edit, &[&format!("a {turn}")]).await?.get("id");
        relay.work_until(seen(edited)).await?;
        assert!(!is_reported(&outbox, AuditLock::InFlight, edited).await?);
    }
    relay.until_idle().await?;
    assert_eq!(arrived(&outbox).await?, ["after"; 5]);
    Ok(())
}

#[tokio::test]
async fn an_event_that_waits_its_turn_is_not_published_once_its_type_was_edited_to_a_paused_one()
-> anyhow::Result<()> {
    let (outbox, broker) = before_a_proxy().await?;
    let operator = outbox.person("outbox_operator").await?;
    let (mut relay, [second, _third]) = loaded_ahead(&outbox, &broker).await?;
    let paused = relay.work_until(outbox.command(&["pause", "--type", "order.shipped"])).await?;
    assert_eq!(paused.code, Some(0), "{paused:?}");
    let edit = ["edit", &second, "--type", "order.shipped", "--reason", "x"];
    let edited = relay.work_until(outbox.command_as(&operator, &edit)).await?;
    assert_eq!(edited.code, Some(0), "{edited:?}");
    broker.to_client(Faults::default());
    relay.until_idle().await?;
    assert_eq!(outbox.pending().await?, 2, "the second, and the third behind it");
    let resumed = relay.work_until(outbox.command(&["resume", "--all"])).await?;
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    relay.until_idle().await?;
    assert_eq!(outbox.pending().await?, 0);
    Ok(())
}

//! `outbox-relay replay`: publishes published events again, and reports what it did.

use anyhow::Context as _;
use lapin::message::BasicGetMessage;
use lapin::types::AMQPValue;
use pipeline_tests::audit_gate::AuditGate;
use pipeline_tests::outbox::Outbox;
use pipeline_tests::published_events::{ids, published, sent};
use pipeline_tests::terminal::on_a_terminal;
use serde_json::{Value, json};
use uuid::Uuid;

fn header(message: &BasicGetMessage, name: &str) -> Option<AMQPValue> {
    message.delivery.properties.headers().as_ref()?.inner().get(name).cloned()
}

/// All rows, for comparison.
async fn rows(outbox: &Outbox) -> anyhow::Result<Vec<Value>> {
    let rows = outbox.sql.query("SELECT to_jsonb(o) FROM outbox AS o ORDER BY id", &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

#[tokio::test]
async fn an_event_is_published_again_under_its_id_and_marked() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    published(&outbox, 3, "order.created", "1 hour").await?;
    let event = ids(&outbox, "aggregate_id = '2'").await?[0].to_string();
    let before = rows(&outbox).await?;

    let ended = outbox.command(&["replay", &event, "--reason", "the consumer lost it"]).await?;
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (Some(0), "1 event published again.\n"),
        "{ended:?}"
    );
    let messages = outbox.take_all("all").await?;
    assert_eq!(sent(&messages)?, [event.parse::<Uuid>()?]);
    assert_eq!(header(&messages[0], "x-replayed"), Some(AMQPValue::Boolean(true)));
    assert_eq!(header(&messages[0], "traceparent"), Some(AMQPValue::LongString("00-1".into())));
    let body: Value = serde_json::from_slice(&messages[0].delivery.data)?;
    assert_eq!((&body["event_id"], &body["data"]["n"]), (&json!(event), &json!(2)));
    assert_eq!(rows(&outbox).await?, before, "no row is touched");

    let audit = outbox.audit().await?;
    assert_eq!(audit.len(), 1);
    assert_eq!((&audit[0]["action"], &audit[0]["actor"]), (&json!("replay"), &json!("alice")));
    assert_eq!(audit[0]["reason"], "the consumer lost it");
    assert_eq!(audit[0]["event_id"], event);
    assert_eq!(audit[0]["detail"], json!({ "filter": { "event_ids": [event] }, "count": 1 }));
    Ok(())
}

#[tokio::test]
async fn what_is_not_published_is_not_published_by_a_replay() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.add("7", "order.created").await?;
    published(&outbox, 1, "order.created", "1 hour").await?;
    let [pending, done] = ids(&outbox, "true").await?.try_into().ok().context("two")?;
    let (done, pending, unknown) = (done.to_string(), pending.to_string(), Uuid::nil().to_string());
    let ended = outbox.command(&["replay", "--json", &done, &pending, &unknown]).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let document = ended.json()?;
    assert_eq!((&document["matched"], &document["replayed"]), (&json!(1), &json!(1)));
    assert_eq!(document["not_replayed"][0], json!({ "event_id": pending, "why": "pending" }));
    assert_eq!(document["not_replayed"][1], json!({ "event_id": unknown, "why": "not_found" }));
    let ended = outbox.command(&["replay", "--yes", "--type", "order.created"]).await?;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "1 event published again.\n"));
    assert_eq!(outbox.take_all("all").await?.len(), 2);
    assert_eq!(outbox.pending().await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_dry_run_counts_what_each_filter_matches_and_publishes_nothing() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    published(&outbox, 5, "order.created", "3 hours").await?;
    published(&outbox, 4, "order.shipped", "1 hour").await?;
    outbox.add("1", "order.created").await?;
    for (arguments, count) in [
        (&["--type", "order.created"][..], 5),
        (&["--aggregate", "1"], 2),
        (&["--aggregate", "1", "--type", "order.shipped"], 1),
        (&["--since", "2h"], 4),
        (&["--until", "2h"], 5),
        (&["--since", "4h", "--until", "30m"], 9),
        (&["--since", "2020-01-01T00:00:00Z", "--above-id", "7"], 2),
        (&["--type", "x' OR true --"], 0),
    ] {
        let ended =
            outbox.command(&[&["replay", "--dry-run", "--json"], arguments].concat()).await?;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        let document = ended.json()?;
        let counts = ["matched", "replayed", "dry_run"].map(|member| &document[member]);
        assert_eq!(json!(counts), json!([count, 0, true]), "{arguments:?}: {document}");
        let others = ["not_replayed", "failed"].map(|member| &document[member]);
        assert_eq!(json!(others), json!([[], []]), "{arguments:?}: {document}");
        let examples = document["examples"].as_array().map_or(0, Vec::len);
        assert_eq!(examples, count, "{arguments:?}: {document}");
    }
    assert_eq!(outbox.depth("all").await?, 0);
    assert!(outbox.audit().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_filter_is_replayed_page_by_page_in_order() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    published(&outbox, 730, "order.created", "1 hour").await?;
    published(&outbox, 50, "order.shipped", "1 hour").await?;
    let arguments =
        ["replay", "--yes", "--type", "order.created", "--relay-window", "100", "--json"];
    let ended = outbox.command(&arguments).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.json()?["replayed"], 730);
    let messages = outbox.take_all("all").await?;
    assert_eq!(sent(&messages)?, ids(&outbox, "event_type = 'order.created'").await?);
    let audit = outbox.audit().await?;
    assert_eq!(audit.len(), 1, "one row for the whole command");
    assert_eq!(audit[0]["event_id"], Value::Null);
    assert_eq!(audit[0]["detail"], json!({ "filter": { "type": "order.created" }, "count": 730 }));
    Ok(())
}

#[tokio::test]
async fn what_was_published_after_the_count_is_not_replayed() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.add("7", "order.created").await?;
    published(&outbox, 3, "order.created", "1 hour").await?;
    let gate = AuditGate::new(&outbox).await?;
    let replay = ["replay", "--type", "order.created", "--expect", "3"];
    let publishes = async {
        // The row that says what is replayed comes behind the count.
        gate.let_pass(0).await?;
        let publish = "UPDATE outbox SET published_at = now() WHERE published_at IS NULL";
        outbox.sql.batch_execute(publish).await?;
        gate.open(1).await
    };
    let (ended, published) = tokio::join!(outbox.command(&replay), publishes);
    published?;
    let ended = ended?;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "3 events published again.\n"));
    assert_eq!(sent(&outbox.take_all("all").await?)?, ids(&outbox, "id > 1").await?);
    Ok(())
}

#[tokio::test]
async fn what_no_queue_takes_is_told_and_the_others_get_through() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("created", "order.created").await?;
    published(&outbox, 40, "order.created", "1 hour").await?;
    published(&outbox, 25, "order.lost", "1 hour").await?;
    published(&outbox, 40, "order.created", "1 hour").await?;
    let ended = outbox.command(&["replay", "--yes", "--since", "1d"]).await?;
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), "80 events published again.\n"));
    assert_eq!(ended.err.matches("no queue is bound").count(), 20, "{}", ended.err);
    assert!(ended.err.ends_with("… and 5 more that failed\n"), "{}", ended.err);
    let got = sent(&outbox.take_all("created").await?)?;
    assert_eq!(got, ids(&outbox, "event_type = 'order.created'").await?);

    // A row that can't be a message does not affect others either.
    outbox.sql.batch_execute("UPDATE outbox SET headers = '[]' WHERE aggregate_id = '3'").await?;
    let ended = outbox.command(&["replay", "--yes", "--type", "order.created", "--json"]).await?;
    let document = ended.json()?;
    assert_eq!((ended.code, &document["replayed"]), (Some(1), &json!(78)));
    let reason = document["failed"][0]["reason"].as_str().context("a reason")?;
    assert!(reason.starts_with("the headers are an array"), "{reason}");
    Ok(())
}

#[tokio::test]
async fn a_filter_is_not_replayed_where_nobody_can_be_asked() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    published(&outbox, 2, "order.created", "1 hour").await?;
    let ended = outbox.command(&["replay", "--type", "order.created"]).await?;
    assert_eq!((ended.code, ended.out.as_str()), (Some(64), ""));
    assert!(ended.err.contains("--yes") && ended.err.contains("--dry-run"), "{}", ended.err);
    assert_eq!(outbox.depth("all").await?, 0);
    Ok(())
}

#[tokio::test]
async fn on_a_terminal_a_person_is_asked() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    published(&outbox, 12, "order.created", "1 hour").await?;
    let replay = ["replay", "--type", "order.created"];
    let ended = on_a_terminal(&outbox, &replay, "n\n").await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.contains("12 events match. Type the number to replay them:"), "{ended:?}");
    assert!(ended.out.contains("nothing was changed"), "{ended:?}");
    assert_eq!((outbox.depth("all").await?, outbox.audit().await?.len()), (0, 0));

    let ended = on_a_terminal(&outbox, &replay, "12\n").await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("12 events published again."), "{ended:?}");
    assert_eq!(outbox.take_all("all").await?.len(), 12);
    // Colours are only for terminals.
    let listed = on_a_terminal(&outbox, &["events"], "").await?;
    assert!(listed.out.contains("\x1b[1m"), "{listed:?}");
    assert!(!outbox.command(&["events"]).await?.out.contains('\x1b'));
    Ok(())
}

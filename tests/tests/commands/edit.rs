//! `outbox-relay edit` with new contents from files, its audit rows, and what the relays make of it.

use anyhow::{Context as _, ensure};
use pipeline_tests::edited_events::{add, before_a_proxy};
use pipeline_tests::outbox::{Outbox, PATIENCE, connect, eventually};
use pipeline_tests::paused_process::PausedProcess;
use pipeline_tests::proxy::Faults;
use pipeline_tests::temp_folder::TempFolder;
use serde_json::{Value, json};
use stack::ProcessId;
use tokio_postgres::types::ToSql;

/// A number that no double holds.
const DIGITS: &str = "1.100000000000000000000000000001";

/// An event that is stuck, as its headers are an array. Returns its `event_id`.
async fn stuck(outbox: &Outbox) -> anyhow::Result<String> {
    let id = add(outbox, "7", Some("infinity")).await?;
    let damage = "UPDATE outbox SET headers = '[]', attempts = 1, last_error = 'the headers are an array, but must be an object'";
    outbox.sql.batch_execute(damage).await?;
    Ok(id)
}

/// A text that is selected from the row of an event.
async fn stored(outbox: &Outbox, expression: &str, id: &str) -> anyhow::Result<String> {
    let query = format!("SELECT ({expression})::text FROM outbox WHERE event_id = $1::text::uuid");
    Ok(outbox.sql.query_one(&query, &[&id]).await?.get(0))
}

/// The contents of the messages in the queue.
async fn arrived(outbox: &Outbox) -> anyhow::Result<Vec<String>> {
    let messages = outbox.take_all("all").await?;
    let bodies = messages.iter().map(|message| String::from_utf8(message.delivery.data.clone()));
    Ok(bodies.collect::<Result<_, _>>()?)
}

#[tokio::test]
async fn an_edited_event_is_published_as_it_is_now_and_the_audit_has_it_as_it_was()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let id = stuck(&outbox).await?;
    outbox.add("7", "order.shipped").await?;
    let (_relay, _) = outbox.joined_by(&[]).await?;
    let operator = outbox.person("outbox_operator").await?;
    let folder = TempFolder::new()?;
    let payload = folder.write("payload", &format!("{{\n  \"price\": {DIGITS}\n}}\n"))?;
    let headers = folder.write("headers", r#"{"traceparent": "x"}"#)?;
    let files = ["--payload-file", &payload, "--headers-file", &headers, "--type", "order.priced"];
    let edit = [&["edit", &id, "--reason", "repaired", "--retry"][..], &files].concat();
    let ended = outbox.command_as(&operator, &edit).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let said = "The event is edited (event_type, headers, payload), and it is due again.\n";
    assert_eq!((ended.out.as_str(), ended.err.as_str()), (said, ""));
    outbox.all_published().await?;
    let bodies = arrived(&outbox).await?;
    assert_eq!(bodies.len(), 2);
    assert!(bodies[0].contains(DIGITS) && bodies[0].contains("order.priced"), "{bodies:?}");

    let row =
        outbox.sql.query_one("SELECT detail::text, event::text FROM outbox_audit", &[]).await?;
    let (detail, event): (String, String) = (row.get(0), row.get(1));
    assert!(detail.contains(DIGITS), "{detail}");
    let detail: Value = serde_json::from_str(&detail)?;
    let before = json!({
        "event_type": "order.created", "headers": [], "payload": { "as": "before" }, "next_attempt_at": "infinity"
    });
    assert_eq!(detail["before"], before);
    assert_eq!(detail["after"]["event_type"], "order.priced");
    assert_eq!(detail["after"]["headers"], json!({ "traceparent": "x" }));
    let event: Value = serde_json::from_str(&event)?;
    assert_eq!((&event["event_id"], &event["payload"]["as"]), (&json!(id), &json!("before")));
    let audit = &outbox.audit().await?[0];
    assert_eq!((&audit["actor"], &audit["action"]), (&json!("alice"), &json!("edit")));
    assert_eq!(audit["db_user"], "person_of_outbox_operator");
    assert_eq!(audit["reason"], "repaired");
    assert!(audit["operation_id"].is_string(), "{audit}");
    Ok(())
}

#[tokio::test]
async fn only_what_differs_is_changed_and_digits_are_a_difference() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let id = stuck(&outbox).await?;
    outbox
        .sql
        .batch_execute("UPDATE outbox SET payload = '{\"price\": 1.0}', headers = '{}'")
        .await?;
    let operator = outbox.person("outbox_operator").await?;
    let folder = TempFolder::new()?;
    let payload = folder.write("payload", " {\"price\":1.0} ")?;
    let edit = ["edit", &id, "--reason", "x", "--json", "--payload-file", &payload];
    let same = outbox.command_as(&operator, &edit).await?;
    assert_eq!((same.code, &same.json()?["edited"]), (Some(0), &json!([])), "{same:?}");
    assert!(outbox.audit().await?.is_empty());
    // It is due nevertheless, if that was asked for.
    let same = outbox.command_as(&operator, &[&edit[..], &["--retry"]].concat()).await?;
    let told = same.json()?;
    assert_eq!((&told["changed"], &told["retried"]), (&json!([]), &json!(true)), "{same:?}");
    assert_eq!(stored(&outbox, "next_attempt_at <= now()", &id).await?, "true");
    let stuck_again =
        "UPDATE outbox SET next_attempt_at = 'infinity'; TRUNCATE outbox_audit RESTART IDENTITY";
    outbox.sql.batch_execute(stuck_again).await?;

    folder.write("payload", "{\"price\": 1.00}")?;
    let edited = outbox.command_as(&operator, &edit).await?;
    let expected = json!({
        "edited": [id], "changed": ["payload"], "retried": false, "in_flight": [], "not_confirmed_by": []
    });
    assert_eq!((edited.code, edited.json()?), (Some(0), expected), "{edited:?}");
    assert_eq!(stored(&outbox, "payload", &id).await?, "{\"price\": 1.00}");
    assert_eq!(stored(&outbox, "next_attempt_at", &id).await?, "infinity", "still stuck");
    let detail = &outbox.audit().await?[0]["detail"];
    assert_eq!(detail["before"].as_object().context("an object")?.len(), 1, "{detail}");
    Ok(())
}

#[tokio::test]
async fn what_could_not_be_a_message_is_refused_with_the_reason_of_a_relay() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let operator = outbox.person("outbox_operator").await?;
    let folder = TempFolder::new()?;
    let long_type = "x".repeat(256);
    let long_headers = json!({ "long": "x".repeat(140_000) }).to_string();
    let large = json!("x".repeat(2000)).to_string();
    let settings = [("RELAY_MAX_MESSAGE_BYTES", "1000"), ("RELAY_EXCHANGES", "billing")];
    let flags = ["--relay-max-message-bytes", "1000", "--relay-exchanges", "billing"];
    let wrong = [
        ("event_type", long_type.as_str()),
        ("payload", &large),
        ("headers", "[]"),
        ("headers", r#"{"a": {"b": 1}}"#),
        ("headers", r#"{"amqp-priority": 300}"#),
        ("headers", r#"{"amqp-nothing": 1}"#),
        ("headers", r#"{"amqp-exchange": "elsewhere"}"#),
        ("headers", r#"{"amqp-payload-encoding": "base64"}"#),
        ("headers", r#"{"a": 1e400}"#),
        ("headers", &long_headers),
    ];
    let mut refused = Vec::new();
    for (number, (column, value)) in wrong.into_iter().enumerate() {
        let id = add(&outbox, &number.to_string(), Some("infinity")).await?;
        let file = folder.write("value", value)?;
        let new = match column {
            "event_type" => ["--type", value],
            "payload" => ["--payload-file", &file],
            _ => ["--headers-file", &file],
        };
        let edit = [&["edit", &id, "--reason", "x"][..], &new, &flags].concat();
        let ended = outbox.command_as(&operator, &edit).await?;
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
        refused.push((id, column, value, ended.err));
    }
    assert!(outbox.audit().await?.is_empty());
    let changed = "SELECT count(*) FROM outbox WHERE payload <> '{\"as\": \"before\"}' OR headers <> '{}' OR event_type <> 'order.created'";
    assert_eq!(outbox.count(changed, &[]).await?, 0, "nothing was stored");

    // What a relay says of the same contents.
    for (id, column, value, _) in &refused {
        let kind = if *column == "event_type" { "text" } else { "jsonb" };
        let write = format!(
            "UPDATE outbox SET {column} = $1::text::{kind}, next_attempt_at = NULL WHERE event_id = $2::text::uuid"
        );
        let params: [&(dyn ToSql + Sync); 2] = [value, id];
        outbox.sql.execute(&write, &params).await?;
    }
    let (_relay, _) = outbox.joined_by(&settings).await?;
    let stuck = "SELECT count(*) FROM outbox WHERE next_attempt_at = 'infinity'";
    eventually("all are stuck", async || {
        Ok(outbox.count(stuck, &[]).await? == i64::try_from(refused.len())?)
    })
    .await?;
    for (id, _, _, error) in &refused {
        let reason = stored(&outbox, "last_error", id).await?;
        assert!(error.contains(&reason), "{error} and not {reason}");
    }
    Ok(())
}

#[tokio::test]
async fn a_mistake_in_the_json_is_told_with_its_place_before_anything_is_sent() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    let folder = TempFolder::new()?;
    let id = uuid::Uuid::nil().to_string();
    for (text, expected) in [
        ("{\"a\": 1,\n \"b\" 2}", "expected `:` at line 2 column 6"),
        ("", "EOF while parsing a value at line 1 column 0"),
        ("{\"a\": \"\\u0000\"}", "PostgreSQL can't store \\u0000 at line 1 column 8"),
    ] {
        let file = folder.write("payload", text)?;
        let edit = ["edit", &id, "--reason", "x", "--payload-file", &file];
        // Nothing listens there.
        let ended = outbox.command_as("postgres://nobody@127.0.0.1:1/nowhere", &edit).await?;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains(expected) && ended.err.contains(&file), "{ended:?}");
    }
    let none = outbox.command(&["edit", &id, "--reason", "x"]).await?;
    assert_eq!(none.code, Some(64), "{none:?}");
    assert!(none.err.contains("--payload-file"), "{none:?}");
    let both = ["edit", &id, "--reason", "x", "--payload-file", "-", "--headers-file", "-"];
    assert_eq!(outbox.command(&both).await?.code, Some(64));
    Ok(())
}

#[tokio::test]
async fn what_is_not_pending_or_locked_is_not_edited() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let operator = outbox.person("outbox_operator").await?;
    let [published, locked] = [add(&outbox, "1", None).await?, add(&outbox, "2", None).await?];
    outbox
        .sql
        .batch_execute("UPDATE outbox SET published_at = now() WHERE aggregate_id = '1'")
        .await?;
    let holder = connect(&outbox.database.url).await?;
    let lock = "SET application_name = 'holder'; BEGIN; SELECT FROM outbox WHERE aggregate_id = '2' FOR UPDATE";
    holder.batch_execute(lock).await?;
    let unknown = uuid::Uuid::nil().to_string();
    for (id, expected) in [
        (&published, "it was published at"),
        (&locked, "holder (pid "),
        (&unknown, "there is no such event"),
    ] {
        let edit = ["edit", id, "--reason", "x", "--type", "order.edited"];
        let ended = outbox.command_as(&operator, &edit).await?;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains(expected) && ended.err.contains("was not edited"), "{ended:?}");
    }
    holder.batch_execute("ROLLBACK").await?;
    assert!(outbox.audit().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_edit_of_an_event_in_flight_is_told_and_one_of_a_loaded_event_is_published()
-> anyhow::Result<()> {
    let (outbox, broker) = before_a_proxy().await?;
    let operator = outbox.person("outbox_operator").await?;
    let folder = TempFolder::new()?;
    let payload = folder.write("payload", "{\"as\": \"after\"}")?;
    let mut relay = outbox.relay(&[])?;
    relay.until_idle().await?;
    broker.to_client(Faults::HELD);
    let sent = add(&outbox, "1", None).await?;
    let behind = add(&outbox, "1", None).await?;
    // It sends the window, and loads the other one in the same step.
    relay
        .work_until(eventually("it is sent", async || Ok(outbox.depth("all").await? == 1)))
        .await?;
    for (id, code, in_flight) in [(&sent, 3, json!([sent])), (&behind, 0, json!([]))] {
        let edit = ["edit", id, "--reason", "x", "--json", "--payload-file", &payload];
        let ended = relay.work_until(outbox.command_as(&operator, &edit)).await?;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_eq!(ended.json()?["in_flight"], in_flight, "{ended:?}");
    }
    broker.to_client(Faults::default());
    relay.until_idle().await?;
    let bodies = arrived(&outbox).await?;
    assert_eq!(bodies.len(), 2);
    assert!(bodies[0].contains("before") && bodies[1].contains("after"), "{bodies:?}");
    Ok(())
}

#[tokio::test]
async fn a_relay_killed_during_an_edit_is_named_and_the_next_one_publishes_the_edit()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let operator = outbox.person("outbox_operator").await?;
    let (relay, pid) = outbox.joined_by(&[]).await?;
    let id = stuck(&outbox).await?;
    let folder = TempFolder::new()?;
    let headers = folder.write("headers", "{}")?;
    let frozen = PausedProcess::new(ProcessId::of(relay.pid()).context("it runs")?)?;
    let edit =
        ["edit", &id, "--reason", "x", "--json", "--retry", "--headers-file", headers.as_str()];
    let kills = async {
        eventually("it is edited", async || Ok(!outbox.audit().await?.is_empty())).await?;
        relay.sigkill()
    };
    let (ended, killed) = tokio::join!(outbox.command_as(&operator, &edit), kills);
    killed?;
    drop(frozen);
    let ended = ended?;
    let silent = json!([{ "pid": pid, "name": "outbox-relay", "why": "gone" }]);
    assert_eq!((ended.code, &ended.json()?["not_confirmed_by"]), (Some(3), &silent), "{ended:?}");
    relay.wait_exit(PATIENCE).await?;
    let (_next, _) = outbox.joined_by(&[]).await?;
    outbox.all_published().await?;
    ensure!(arrived(&outbox).await?.len() == 1, "once");
    Ok(())
}

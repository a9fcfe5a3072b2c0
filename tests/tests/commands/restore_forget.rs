//! `outbox-relay restore` and `forget`: what becomes of events that were discarded.

use anyhow::ensure;
use pipeline_tests::edited_events::add;
use pipeline_tests::outbox::{Outbox, PATIENCE, connect, event_id, eventually};
use pipeline_tests::temp_folder::TempFolder;
use pipeline_tests::terminal::on_a_terminal;
use serde_json::{Value, json};
use uuid::Uuid;

/// The row of an event as JSON.
async fn row(outbox: &Outbox, id: &str) -> anyhow::Result<Value> {
    let query = "SELECT to_jsonb(e) FROM outbox AS e WHERE event_id = $1::text::uuid";
    Ok(outbox.sql.query_one(query, &[&id]).await?.get(0))
}

/// Discards events as a person with `url`.
async fn discard(outbox: &Outbox, url: &str, ids: &[&str]) -> anyhow::Result<()> {
    let ended = outbox.command_as(url, &[&["discard", "--reason", "wrong"], ids].concat()).await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_restored_event_is_as_it_was_and_the_last_of_its_aggregate() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let admin = outbox.person("outbox_admin").await?;
    let [first, second] =
        [add(&outbox, "7", Some("infinity")).await?, add(&outbox, "7", None).await?];
    outbox
        .sql
        .batch_execute(
            "UPDATE outbox SET attempts = 3, last_error = 'no queue', created_at = '2026-02-01 22:25:31.123456+00',
                    payload = '{\"price\": 1.100000000000000000001}', headers = '{\"a\": \"b\"}'
             WHERE next_attempt_at IS NOT NULL",
        )
        .await?;
    let before = row(&outbox, &first).await?;
    discard(&outbox, &admin, &[&first]).await?;
    let third = add(&outbox, "7", None).await?;

    let ended = outbox.command_as(&admin, &["restore", &first, "--reason", "it was right"]).await?;
    let after = row(&outbox, &first).await?;
    let said = format!("1 event is restored, with the id {}.\n", after["id"]);
    assert_eq!((ended.code, ended.out), (Some(0), said), "{}", ended.err);
    for column in
        ["event_id", "aggregate_type", "aggregate_id", "event_type", "headers", "created_at"]
    {
        assert_eq!(after[column], before[column], "{column}");
    }
    let digits = "SELECT payload::text FROM outbox WHERE event_id = $1::text::uuid";
    let payload: String = outbox.sql.query_one(digits, &[&first]).await?.get(0);
    assert_eq!(payload, "{\"price\": 1.100000000000000000001}");
    assert_eq!((&after["attempts"], &after["next_attempt_at"]), (&json!(0), &Value::Null));
    assert!(after["id"].as_i64() > row(&outbox, &third).await?["id"].as_i64());
    let audit = outbox.audit().await?;
    let [_, restored] = &audit[..] else { anyhow::bail!("two rows: {audit:?}") };
    assert_eq!((&restored["action"], &restored["actor"]), (&json!("restore"), &json!("alice")));
    assert_eq!(restored["detail"], json!({ "id": after["id"], "id_before": before["id"] }));
    assert_eq!((&restored["event"], &restored["reason"]), (&Value::Null, &json!("it was right")));

    let (_relay, _) = outbox.joined_by(&[]).await?;
    outbox.all_published().await?;
    let messages = outbox.take_all("all").await?;
    let order: Vec<String> = messages
        .iter()
        .map(|message| Ok(event_id(message)?.to_string()))
        .collect::<anyhow::Result<_>>()?;
    assert_eq!(order, [second, third, first], "behind what was pending");
    Ok(())
}

#[tokio::test]
async fn a_restored_event_that_was_scheduled_is_so_again() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let url = outbox.person("outbox_admin").await?;
    for (at, attempts, is_kept) in
        [("2100-01-01 00:00:00+00", 0, true), ("infinity", 0, true), ("infinity", 3, false)]
    {
        let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at)
                      VALUES ('order', '7', 'order.created', '{}', $1, $2::text::timestamptz) RETURNING event_id::text";
        let id: String = outbox.sql.query_one(insert, &[&attempts, &at]).await?.get(0);
        discard(&outbox, &url, &[&id]).await?;
        let ended = outbox.command_as(&url, &["restore", &id, "--reason", "x"]).await?;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let kept =
            "SELECT next_attempt_at IS NOT DISTINCT FROM $2::text::timestamptz AND attempts = 0
                    FROM outbox WHERE event_id = $1::text::uuid";
        let kept: bool = outbox.sql.query_one(kept, &[&id, &at]).await?.get(0);
        assert_eq!(kept, is_kept, "{at} {attempts}");
    }
    Ok(())
}

#[tokio::test]
async fn events_that_are_restored_together_keep_their_order() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let admin = outbox.person("outbox_admin").await?;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(add(&outbox, "7", Some("infinity")).await?);
    }
    // In another order, and some by a second command.
    let shuffled: Vec<&str> = ids.iter().rev().map(String::as_str).collect();
    discard(&outbox, &admin, &shuffled[..10]).await?;
    discard(&outbox, &admin, &shuffled[10..]).await?;
    let restore = [&["restore", "--json", "--reason", "x"], &shuffled[..]].concat();
    let ended = outbox.command_as(&admin, &restore).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let rows = outbox.sql.query("SELECT event_id::text FROM outbox ORDER BY id", &[]).await?;
    let order: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(order, ids);
    let operations =
        "SELECT count(DISTINCT operation_id) FROM outbox_audit WHERE action = 'restore'";
    assert_eq!(outbox.count(operations, &[]).await?, 1);
    Ok(())
}

#[tokio::test]
async fn what_can_not_be_restored_is_told_event_by_event() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let admin = outbox.person("outbox_admin").await?;
    let mut ids = Vec::new();
    for name in ["there again", "restored before", "forgotten", "good"] {
        ids.push(add(&outbox, name, Some("infinity")).await?);
    }
    let [again, before, forgotten, good] = [0, 1, 2, 3].map(|index: usize| ids[index].as_str());
    discard(&outbox, &admin, &[again, before, forgotten, good]).await?;
    let insert = "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload)
                  VALUES ($1::text::uuid, 'order', '7', 'order.created', '{}')";
    outbox.sql.execute(insert, &[&again]).await?;
    outbox.command_as(&admin, &["restore", before, "--reason", "x"]).await?;
    let publish = "DELETE FROM outbox WHERE event_id = $1::text::uuid";
    outbox.sql.execute(publish, &[&before]).await?;
    outbox.command_as(&admin, &["forget", forgotten, "--reason", "x", "--yes"]).await?;
    let unknown = Uuid::nil().to_string();

    let ids = [again, before, forgotten, &unknown, good, good];
    let restore = [&["restore", "--json", "--reason", "x"], &ids[..]].concat();
    let ended = outbox.command_as(&admin, &restore).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let document = ended.json()?;
    assert_eq!(document["restored"][0]["event_id"], good, "{document}");
    assert_eq!(document["restored"].as_array().map(Vec::len), Some(1));
    let expected = json!([
        { "event_id": again, "why": "in_outbox" },
        { "event_id": before, "why": "restored_before" },
        { "event_id": forgotten, "why": "forgotten" },
        { "event_id": unknown, "why": "no_copy" },
    ]);
    assert_eq!(document["not_restored"], expected);
    let told = outbox.command_as(&admin, &["restore", before, "--reason", "x"]).await?;
    assert!(told.err.contains("it was restored before"), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn a_restored_event_outlives_a_relay_that_is_killed() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let admin = outbox.person("outbox_admin").await?;
    let id = add(&outbox, "7", Some("infinity")).await?;
    discard(&outbox, &admin, &[&id]).await?;
    let (relay, _) = outbox.joined_by(&[]).await?;
    let ended = outbox.command_as(&admin, &["restore", &id, "--reason", "x"]).await?;
    relay.sigkill()?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    relay.wait_exit(PATIENCE).await?;
    let (_next, _) = outbox.joined_by(&[]).await?;
    outbox.all_published().await?;
    let messages = outbox.take_all("all").await?;
    ensure!(!messages.is_empty(), "it was lost");
    for message in &messages {
        assert_eq!(event_id(message)?.to_string(), id);
    }
    Ok(())
}

#[tokio::test]
async fn nothing_of_the_contents_is_kept_and_who_did_what_is() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let admin = outbox.person("outbox_admin").await?;
    let folder = TempFolder::new()?;
    let mut ids = Vec::new();
    for name in ["SECRET discarded", "SECRET published", "pending"] {
        ids.push(add(&outbox, name, Some("infinity")).await?);
    }
    let [discarded, published, pending] = [0, 1, 2].map(|index: usize| ids[index].as_str());
    let contents = "UPDATE outbox SET payload = '{\"name\": \"SECRET\"}', last_error = 'the header \"x\" is \"SECRET\"'
                    WHERE aggregate_id LIKE 'SECRET%'";
    outbox.sql.batch_execute(contents).await?;
    outbox.command_as(&admin, &["retry", discarded]).await?;
    let headers = folder.write("headers", r#"{"x": "SECRET"}"#)?;
    let edit = ["edit", discarded, "--reason", "x", "--headers-file", &headers];
    assert_eq!(outbox.command_as(&admin, &edit).await?.code, Some(0));
    let edit = ["edit", published, "--reason", "x", "--headers-file", &headers];
    assert_eq!(outbox.command_as(&admin, &edit).await?.code, Some(0));
    discard(&outbox, &admin, &[discarded]).await?;
    let publish = "UPDATE outbox SET published_at = now() WHERE event_id = $1::text::uuid";
    outbox.sql.execute(publish, &[&published]).await?;
    let audited: Vec<Value> = outbox.audit().await?;

    let ids = [discarded, published, pending];
    let forget = [&["forget", "--json", "--yes", "--reason", "a request"], &ids[..]].concat();
    let ended = outbox.command_as(&admin, &forget).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let document = ended.json()?;
    assert_eq!(document["forgotten"].as_array().map(Vec::len), Some(2), "{document}");
    assert_eq!(document["not_forgotten"], json!([{ "event_id": pending, "why": "pending" }]));

    let left = "SELECT count(*) FROM (SELECT outbox::text AS line FROM outbox UNION ALL SELECT outbox_audit::text FROM outbox_audit) AS lines
                WHERE line LIKE '%SECRET%'";
    assert_eq!(outbox.count(left, &[]).await?, 0);
    assert_eq!(outbox.count("SELECT count(*) FROM outbox", &[]).await?, 1, "the pending one");
    let after = outbox.audit().await?;
    assert_eq!(after.len(), audited.len() + 2);
    for (before, after) in audited.iter().zip(&after) {
        for column in ["id", "happened_at", "actor", "db_user", "action", "reason", "event_id"] {
            assert_eq!(before[column], after[column], "{column}");
        }
    }
    for row in &after[audited.len()..] {
        assert_eq!((&row["action"], &row["reason"]), (&json!("forget"), &json!("a request")));
    }
    let shown = outbox.command_as(&admin, &["show", discarded]).await?;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.out.contains("contents      forgotten"), "{shown:?}");
    assert!(shown.out.contains("forget by alice"), "{shown:?}");

    // Again, as a script does that was interrupted.
    let known = ["forget", "--json", "--yes", "--reason", "x", discarded, published];
    let again = outbox.command_as(&admin, &known).await?;
    assert_eq!(again.code, Some(0), "{again:?}");
    let document = again.json()?;
    let members = ["forgotten", "forgotten_before", "not_forgotten"].map(|name| &document[name]);
    assert_eq!(members, [&json!([]), &json!([discarded, published]), &json!([])]);
    assert_eq!(outbox.audit().await?.len(), after.len(), "nothing was left to erase");
    // A wrong id is no such event.
    let unknown = Uuid::nil().to_string();
    let wrong = outbox.command_as(&admin, &[&known[..], &[&unknown, pending]].concat()).await?;
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    let document = wrong.json()?;
    assert_eq!(document["forgotten_before"].as_array().map(Vec::len), Some(2), "{document}");
    let left = json!([{ "event_id": unknown, "why": "not_found" }, { "event_id": pending, "why": "pending" }]);
    assert_eq!(document["not_forgotten"], left);
    Ok(())
}

#[tokio::test]
async fn a_published_event_that_is_locked_is_not_forgotten_by_half() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let admin = outbox.person("outbox_admin").await?;
    let id = add(&outbox, "7", Some("infinity")).await?;
    let edit = ["edit", &id, "--reason", "x", "--type", "order.edited"];
    assert_eq!(outbox.command_as(&admin, &edit).await?.code, Some(0));
    outbox.sql.batch_execute("UPDATE outbox SET published_at = now()").await?;
    let before = outbox.audit().await?;
    let holder = connect(&outbox.database.url).await?;
    holder.batch_execute("BEGIN; SELECT FROM outbox FOR UPDATE").await?;
    let forget = ["forget", "--json", "--yes", "--reason", "x", &id];
    let ended = outbox.command_as(&admin, &forget).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.json()?["not_forgotten"][0]["why"], "locked", "{ended:?}");
    assert_eq!(outbox.audit().await?, before, "nothing was erased");
    holder.batch_execute("ROLLBACK").await?;
    assert_eq!(outbox.command_as(&admin, &forget).await?.code, Some(0));
    Ok(())
}

#[tokio::test]
async fn nothing_is_forgotten_without_consent() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let admin = outbox.person("outbox_admin").await?;
    let id = add(&outbox, "7", Some("infinity")).await?;
    discard(&outbox, &admin, &[&id]).await?;
    let silent = outbox.command_as(&admin, &["forget", &id, "--reason", "x"]).await?;
    assert_eq!(silent.code, Some(64), "{silent:?}");
    assert!(silent.err.contains("use --yes"), "{silent:?}");
    let arguments = ["forget", &id, "--reason", "x", "--database-url", &admin];
    let no = on_a_terminal(&outbox, &arguments, "\n").await?;
    assert_eq!(no.code, Some(1), "{no:?}");
    assert!(no.out.contains("Erase the contents of 1 event for ever? [y/N]"), "{no:?}");
    assert_eq!(outbox.audit().await?.len(), 1);
    let yes = on_a_terminal(&outbox, &arguments, "y\n").await?;
    assert_eq!(yes.code, Some(0), "{yes:?}");
    eventually("it is forgotten", async || {
        Ok(outbox.audit().await?[0]["event"].get("payload").is_none())
    })
    .await
}

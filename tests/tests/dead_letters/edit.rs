//! `outbox-relay dead-letters edit` with options.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::{HOME, Rows};
use pipeline_tests::outbox::connect;
use pipeline_tests::temp_folder::TempFolder;
use serde_json::json;

#[tokio::test]
async fn what_is_edited_is_returned_and_both_versions_are_kept() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let operator = desk.person("dead_letters_operator").await?;
    let mut headers = FieldTable::default();
    headers.insert("short".into(), AMQPValue::ShortInt(7));
    headers.insert("tenant".into(), AMQPValue::LongString("a".into()));
    headers.insert("gone".into(), AMQPValue::LongString("b".into()));
    let properties = BasicProperties::default().with_message_id("0190".into());
    desk.add(1, b"{\"price\": 1.10}", properties.with_headers(headers)).await?;
    desk.collect_all().await?;
    let id = desk.letters().await?[0]["id"].to_string();
    let folder = TempFolder::new()?;
    let body = folder.write("body", "{\"price\": 2.0000000000000000001}")?;
    let edit = [
        "edit",
        &id,
        "--reason",
        "a wrong price",
        "--body-file",
        &body,
        "--header",
        "tenant=c",
        "--header",
        "x-repaired=yes",
        "--remove-header",
        "gone",
        "--json",
    ];
    let ended = desk.command_as(&operator, "alice", &edit).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let changed = ["body", "header gone", "header tenant", "header x-repaired"];
    assert_eq!(ended.json()?["changed"], json!(changed));
    let audit = desk.audit().await?;
    let [row] = &audit[..] else { panic!("{audit:?}") };
    assert_eq!((&row["action"], &row["actor"]), (&json!("edit"), &json!("alice")));
    assert_eq!(row["before"]["headers"]["tenant"], "a");
    assert_eq!(row["after"]["headers"], json!({ "short": 7, "tenant": "c", "x-repaired": "yes" }));
    assert_eq!(row["before"]["body"], "eyJwcmljZSI6IDEuMTB9");
    assert_eq!(row["detail"]["changed"], json!(changed));
    // What was collected stays, however often it is edited.
    let again = ["edit", &id, "--reason", "x", "--header", "tenant=d"];
    assert_eq!(desk.command_as(&operator, "bob", &again).await?.code, Some(0));
    assert_eq!(desk.letters().await?[0]["original"]["body"], "eyJwcmljZSI6IDEuMTB9");
    let same = desk.command_as(&operator, "bob", &again).await?;
    assert_eq!((same.code, desk.audit().await?.len()), (Some(0), 2), "{same:?}");
    assert!(same.out.contains("Nothing is changed"), "{same:?}");

    let ended = desk.command_as(&operator, "alice", &["return", &id]).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let message = desk.take_all(HOME).await?.pop().expect("it was returned");
    assert_eq!(message.delivery.data, b"{\"price\": 2.0000000000000000001}");
    let headers = message.delivery.properties.headers().clone().expect("headers");
    let header = |name: &str| headers.inner().get(name).cloned();
    assert_eq!(header("short"), Some(AMQPValue::ShortInt(7)));
    assert_eq!(header("tenant"), Some(AMQPValue::LongString("d".into())));
    assert_eq!(header("gone"), None);
    assert_eq!(message.delivery.properties.message_id(), &Some("0190".into()));
    let late = desk.command_as(&operator, "alice", &edit).await?;
    assert_eq!(late.code, Some(1), "{late:?}");
    assert!(late.err.contains("is returned, and only an open dead letter is edited"), "{late:?}");
    Ok(())
}

#[tokio::test]
async fn what_can_not_be_edited_is_told_and_changes_nothing() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let id = desk.add_rows(1, Rows::default()).await?[0].to_string();
    let folder = TempFolder::new()?;
    let missing = folder.path("missing");
    for (arguments, code, expected) in [
        (&[][..], 64, "no terminal"),
        (&["--header", "x"], 64, "NAME=VALUE"),
        (&["--remove-header", "none"], 1, "it has no header none"),
        (&["--body-file", &missing], 1, "the body can't be read"),
    ] {
        let ended = desk.command(&[&["edit", &id, "--reason", "x"], arguments].concat()).await?;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        assert!(ended.err.contains(expected), "{arguments:?}: {ended:?}");
    }
    let none = desk.command(&["edit", "999999", "--reason", "x", "--header", "a=b"]).await?;
    assert!(none.err.contains("there is no dead letter 999999"), "{none:?}");
    // Another session has the row locked.
    let other = connect(&desk.database.url).await?;
    other.batch_execute("BEGIN; SELECT FROM dead_letters FOR UPDATE").await?;
    let ended = desk.command(&["edit", &id, "--reason", "x", "--header", "a=b"]).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("somebody else is changing it"), "{ended:?}");
    other.batch_execute("ROLLBACK").await?;
    assert!(desk.audit().await?.is_empty());
    let viewer = desk.person("dead_letters_viewer").await?;
    let ended = desk
        .command_as(&viewer, "alice", &["edit", &id, "--reason", "x", "--header", "a=b"])
        .await?;
    assert!(ended.err.contains("takes the role dead_letters_operator"), "{ended:?}");
    Ok(())
}

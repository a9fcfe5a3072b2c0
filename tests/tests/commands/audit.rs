//! `outbox-relay audit`: what people did.

use std::collections::BTreeSet;

use anyhow::Context as _;
use pipeline_tests::edited_events::add;
use pipeline_tests::outbox::Outbox;
use pipeline_tests::relay_command::outbox_relay;
use pipeline_tests::temp_folder::TempFolder;
use serde_json::Value;

/// Runs a command for `actor`.
async fn run_as(outbox: &Outbox, actor: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let settings = [("DATABASE_URL", outbox.database.url.as_str()), ("OUTBOX_ACTOR", actor)];
    let ended = outbox_relay(arguments, &settings).await?;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    Ok(())
}

/// The rows that `audit` lists, as a viewer.
async fn audit(outbox: &Outbox, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
    let viewer = outbox.person("outbox_viewer").await?;
    let arguments = [&["audit", "--json"], arguments].concat();
    let ended = outbox.command_as(&viewer, &arguments).await?;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    ended.json_lines()
}

fn actions(listed: &[Value]) -> Vec<&str> {
    listed.iter().filter_map(|entry| entry["action"].as_str()).collect()
}

/// Three events, the last of which is edited, and all but that discarded, at once.
async fn mended() -> anyhow::Result<(Outbox, String)> {
    let outbox = Outbox::new().await?;
    for aggregate in ["1", "2"] {
        add(&outbox, aggregate, Some("infinity")).await?;
    }
    let edited = add(&outbox, "3", None).await?;
    let folder = TempFolder::new()?;
    let payload = folder.write("payload", "{\"secret\": 7}")?;
    let edit = ["edit", &edited, "--reason", "a typo", "--payload-file", &payload];
    run_as(&outbox, "alice", &edit).await?;
    run_as(&outbox, "bob", &["discard", "--stuck", "--reason", "a test", "--expect", "2"]).await?;
    run_as(&outbox, "bob", &["pause", "--type", "order.created", "--reason", "a deploy"]).await?;
    Ok((outbox, edited))
}

#[tokio::test]
async fn what_people_did_is_listed_the_latest_first_and_selected_by_each_filter()
-> anyhow::Result<()> {
    let (outbox, edited) = mended().await?;
    let all = audit(&outbox, &[]).await?;
    assert_eq!(actions(&all), ["pause", "discard", "discard", "edit"]);
    let operation = all[1]["operation_id"].as_str().context("an operation")?;
    assert_eq!(all[2]["operation_id"], operation);
    outbox
        .sql
        .batch_execute(
            "UPDATE outbox_audit SET happened_at = now() - interval '2 days' WHERE action = 'edit'",
        )
        .await?;
    for (arguments, expected) in [
        (&["--actor", "bob"][..], &["pause", "discard", "discard"][..]),
        (&["--actor", "BOB"], &[]),
        (&["--action", "discard"], &["discard", "discard"]),
        (&["--event", &edited], &["edit"]),
        (&["--operation", operation], &["discard", "discard"]),
        (&["--operation", operation, "--actor", "alice"], &[]),
        (&["--since", "1d"], &["pause", "discard", "discard"]),
        (&["--until", "1d"], &["edit"]),
        (&["--limit", "1"], &["pause"]),
        (&["--after", "3", "--limit", "1"], &["discard"]),
        (&["--after", "2"], &["edit"]),
    ] {
        assert_eq!(actions(&audit(&outbox, arguments).await?), expected, "{arguments:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_entry_says_who_what_when_and_why_and_has_no_payload() -> anyhow::Result<()> {
    let (outbox, edited) = mended().await?;
    let entry = &audit(&outbox, &["--event", &edited]).await?[0];
    let keys: BTreeSet<&str> =
        entry.as_object().context("an object")?.keys().map(String::as_str).collect();
    let expected = [
        "action",
        "actor",
        "db_user",
        "detail",
        "event_id",
        "happened_at",
        "id",
        "operation_id",
        "reason",
    ];
    assert_eq!(keys, expected.into(), "{entry}");
    assert_eq!((&entry["id"], &entry["actor"]), (&1.into(), &"alice".into()), "{entry}");
    assert_eq!((&entry["reason"], &entry["event_id"]), (&"a typo".into(), &edited.into()));
    for entry in audit(&outbox, &[]).await? {
        assert!(!entry.to_string().contains("secret"), "{entry}");
    }
    let text = outbox.command(&["audit", "--limit", "3"]).await?;
    assert!(text.out.contains("REASON") && text.out.contains("a deploy"), "{text:?}");
    assert!(text.out.contains(" many "), "{text:?}");
    assert_eq!(text.err, "There are more entries: --after 2 lists the next ones.\n");
    let none = outbox.command(&["audit", "--actor", "eve"]).await?;
    assert_eq!(
        (none.code, none.out.as_str(), none.err.as_str()),
        (Some(0), "", "No entries match.\n")
    );
    Ok(())
}

#[tokio::test]
async fn a_search_that_ends_early_says_so() -> anyhow::Result<()> {
    let (outbox, _) = mended().await?;
    let few = ["audit", "--actor", "alice", "--limit", "1", "--scan-limit", "1"];
    let ended = outbox.command(&few).await?;
    let said = "The search ended after 3 rows; there may be more entries: --after 2 goes on, or raise --scan-limit.\n";
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (Some(0), "", said));
    let ended = outbox.command(&[&few[..], &["--after", "2"]].concat()).await?;
    assert!(ended.out.contains("a typo"), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn an_audit_table_without_operations_is_listed_too() -> anyhow::Result<()> {
    let (outbox, _) = mended().await?;
    outbox.sql.batch_execute("ALTER TABLE outbox_audit DROP COLUMN operation_id").await?;
    let all = audit(&outbox, &[]).await?;
    assert_eq!(actions(&all), ["pause", "discard", "discard", "edit"]);
    assert!(all[0].get("operation_id").is_none(), "{}", all[0]);
    let operation = "0190163d-8694-739b-aea5-966c26f8ad91";
    let ended = outbox.command(&["audit", "--operation", operation]).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("has no column operation_id"), "{ended:?}");
    Ok(())
}

//! `pause`, `resume` and `pauses`: what they print and audit, and relays that don't respect pauses.

use anyhow::Context as _;
use pipeline_tests::deliveries::Deliveries;
use pipeline_tests::outbox::{Outbox, eventually};
use pipeline_tests::paused_events::{add, others_are_published, pending_of, run};
use pipeline_tests::relay_command::outbox_relay;

#[tokio::test]
async fn the_commands_list_and_audit_what_is_paused() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let paused = outbox
        .command(&[
            "pause",
            "--type",
            "order.created",
            "--for",
            "1h",
            "--reason",
            "bad deploy",
            "--json",
        ])
        .await?;
    assert_eq!(paused.code, Some(0), "{paused:?}");
    let pause = &paused.json()?["pause"];
    assert_eq!(
        (&pause["event_type"], &pause["reason"]),
        (&"order.created".into(), &"bad deploy".into())
    );
    assert!(pause["until"].is_string() && pause["aggregate_id"].is_null(), "{pause}");
    run(&outbox, &["pause", "--aggregate-type", "order", "--aggregate", "7"]).await?;
    let listed = outbox.command(&["pauses", "--json"]).await?.json_lines()?;
    assert_eq!(listed.len(), 2, "{listed:?}");
    let status = outbox.command(&["status", "--json"]).await?.json()?;
    assert_eq!(status["pauses"].as_array().map(Vec::len), Some(2), "{status}");
    let page = run(&outbox, &["status"]).await?;
    assert!(page.contains("order.created events") && page.contains("bad deploy"), "{page}");
    let id = pause["id"].to_string();
    let resumed = outbox.command(&["resume", &id, "--reason", "mended", "--json"]).await?.json()?;
    assert_eq!(resumed["resumed"][0]["id"], pause["id"], "{resumed}");
    let again = outbox.command(&["resume", &id]).await?;
    assert_eq!(again.code, Some(1), "{again:?}");
    let unnamed = outbox.command(&["resume", "--type", "order.created"]).await?;
    assert_eq!(unnamed.code, Some(1), "{unnamed:?}");
    run(&outbox, &["resume", "--all"]).await?;
    assert_eq!(run(&outbox, &["pauses"]).await?, "Nothing is paused.\n");
    let audit = outbox
        .sql
        .query("SELECT action, reason, detail ->> 'event_type', operation_id IS NOT NULL FROM outbox_audit ORDER BY id", &[])
        .await?;
    let audit: Vec<(String, Option<String>, Option<String>, bool)> =
        audit.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    let row = |action: &str, reason: Option<&str>, event_type: Option<&str>| {
        (action.to_owned(), reason.map(str::to_owned), event_type.map(str::to_owned), true)
    };
    let created = Some("order.created");
    assert_eq!(
        audit,
        [
            row("pause", Some("bad deploy"), created),
            row("pause", None, None),
            row("resume", Some("mended"), created),
            row("resume", None, None),
        ]
    );
    for wrong in [
        &["pause"][..],
        &["pause", "--all", "--type", "a"],
        &["pause", "--all", "--for", "1h", "--until", "2100-01-01T00:00:00Z"],
        &["pause", "--all", "--until", "2020-01-01T00:00:00Z"],
        &["pause", "--all", "--until", "tomorrow"],
        &["pause", "--all", "--for", "0s"],
        &["pause", "--type", ""],
        &["resume"],
        &["resume", "1", "--all"],
    ] {
        let ended = outbox.command(wrong).await?;
        assert_eq!(ended.code, Some(64), "{wrong:?}: {ended:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_relay_works_without_the_table_and_the_commands_name_it() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let deliveries = Deliveries::collect(&outbox.vhost.amqp_url, "all");
    let create = include_str!("../../../sql/outbox/schema.sql");
    let at = create.find("CREATE TABLE outbox_pauses").context("the table")?;
    let create = &create[at..at + create[at..].find(";\n").context("its end")? + 1];
    outbox.sql.batch_execute("DROP TABLE outbox_pauses").await?;
    let _relay = outbox.relay_process(&[]).await?;
    add(&outbox, "7", "order.created", 1).await?;
    outbox.all_published().await?;
    eventually("it is delivered", async || Ok(deliveries.count() == 1)).await?;
    let checked = outbox.command(&["check"]).await?;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.out.contains("outbox_pauses\" does not exist"), "{checked:?}");
    let paused = outbox.command(&["pause", "--all"]).await?;
    assert_eq!(paused.code, Some(1), "{paused:?}");
    assert!(paused.err.contains("outbox-relay check"), "{paused:?}");
    assert_eq!(outbox.command(&["status"]).await?.code, Some(0));

    // The table comes, but not the right to read it.
    outbox.sql.batch_execute(create).await?;
    let url = outbox.database.url.as_str();
    let owner = [("DATABASE_URL", url)];
    let paused = outbox_relay(&["pause", "--all"], &owner).await?;
    assert_eq!(paused.code, Some(3), "{paused:?}");
    assert!(paused.err.contains("does not respect pauses"), "{paused:?}");
    let resumed = outbox_relay(&["resume", "--all"], &owner).await?;
    assert_eq!(resumed.code, Some(3), "{resumed:?}");
    outbox
        .sql
        .batch_execute("GRANT SELECT, INSERT, DELETE ON outbox_pauses TO outbox_relay")
        .await?;
    // The same relay finds it, with the next change.
    run(&outbox, &["pause", "--type", "order.created"]).await?;
    add(&outbox, "7", "order.created", 2).await?;
    others_are_published(&outbox).await?;
    assert_eq!(pending_of(&outbox, "7").await?, 1);
    Ok(())
}

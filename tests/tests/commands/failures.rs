//! Failures by their causes: what the relay stores, what `failures` shows, and bulk changes of what
//! a filter matches.

use anyhow::Context as _;
use outbox_relay::TickOutcome;
use pipeline_tests::failed_events::{NO_QUEUE, TOO_LONG, add_failed};
use pipeline_tests::outbox::{Outbox, Stepped, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

/// Steps until this many events have failed.
async fn until_failed(outbox: &Outbox, relay: &mut Stepped, events: i64) -> anyhow::Result<()> {
    eventually("those that fail are noted", async || {
        relay.relay.tick().await;
        let failed = "SELECT count(*) FROM outbox WHERE last_error IS NOT NULL";
        Ok(outbox.count(failed, &[]).await? == events)
    })
    .await
}

/// How many events have each kind and fingerprint.
async fn causes(outbox: &Outbox) -> anyhow::Result<Vec<(Option<String>, Option<String>, i64)>> {
    let sql =
        "SELECT error_kind, error_fingerprint, count(*) FROM outbox GROUP BY 1, 2 ORDER BY 1, 2";
    let rows = outbox.sql.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

const SLOW: [&str; 4] = ["--relay-backoff-min", "1h", "--relay-backoff-max", "1h"];

#[tokio::test]
async fn a_relay_notes_in_which_way_and_why_an_event_failed() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    for n in 0..3 {
        outbox.add(&format!("returned-{n}"), "order.unheard").await?;
    }
    for n in 0..2 {
        outbox.add(&format!("long-{n}"), &"x".repeat(300 + n)).await?;
    }
    let mut relay = outbox.relay(&SLOW)?;
    until_failed(&outbox, &mut relay, 5).await?;
    let causes = causes(&outbox).await?;
    let kinds: Vec<(Option<&str>, i64)> =
        causes.iter().map(|(kind, _, count)| (kind.as_deref(), *count)).collect();
    assert_eq!(kinds, [(Some("returned"), 3), (Some("unpublishable"), 2)], "{causes:?}");
    assert_ne!(causes[0].1, causes[1].1);

    let listed = outbox.command(&["failures", "--json"]).await?.json()?;
    let failures = listed["failures"].as_array().context("an array")?;
    assert_eq!(failures.len(), 2, "{listed}");
    assert_eq!(
        (&failures[0]["kind"], &failures[0]["events"], &failures[0]["event_type"]),
        (&json!("returned"), &json!(3), &json!("order.unheard"))
    );
    outbox.queue("all", "order.unheard").await?;
    let id = failures[0]["fingerprint"].as_str().context("a fingerprint")?;
    let retry = ["retry", "--fingerprint", id, "--expect", "3"];
    let retried = relay.work_until(outbox.command(&retry)).await?;
    assert_eq!((retried.code, retried.out.as_str()), (Some(0), "3 events are due again.\n"));
    relay.until_idle().await?;
    // What is published is no failure any more, whatever it was before.
    let listed = outbox.command(&["failures", "--json"]).await?.json()?;
    assert_eq!(listed["failures"].as_array().context("an array")?.len(), 1, "{listed}");
    Ok(())
}

#[tokio::test]
async fn a_relay_works_where_the_columns_for_causes_are_missing_or_not_its_own()
-> anyhow::Result<()> {
    for change in [
        "DROP VIEW outbox_failures; ALTER TABLE outbox DROP error_kind, DROP error_fingerprint",
        "REVOKE UPDATE (error_fingerprint) ON outbox FROM outbox_relay",
        "DROP VIEW outbox_failures; ALTER TABLE outbox ALTER error_kind TYPE varchar(3)",
    ] {
        let outbox = Outbox::new().await?;
        outbox.sql.batch_execute(change).await?;
        outbox.add("7", "order.unheard").await?;
        let mut relay = outbox.relay(&SLOW)?;
        relay.until(TickOutcome::Worked).await?;
        until_failed(&outbox, &mut relay, 1).await.context(change)?;
    }
    Ok(())
}

#[tokio::test]
async fn commands_work_without_the_columns_and_say_what_needs_them() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 2).await?;
    outbox
        .sql
        .batch_execute(
            "DROP VIEW outbox_failures;
             ALTER TABLE outbox DROP error_kind, DROP error_fingerprint;
             ALTER TABLE outbox_audit DROP operation_id",
        )
        .await?;
    let listed = outbox.command(&["events", "--stuck", "--error", "REASON of"]).await?;
    assert_eq!((listed.code, listed.out.lines().count()), (Some(0), 3), "{listed:?}");
    let filter = &["events", "--kind", "returned"][..];
    for arguments in [&["failures"][..], filter] {
        let ended = outbox.command(arguments).await?;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains("outbox-relay check"), "{ended:?}");
    }
    let retried = outbox.command(&["retry", "--stuck", "--expect", "2"]).await?;
    assert_eq!(retried.code, Some(0), "{retried:?}");
    let admin = outbox.person("outbox_admin").await?;
    let id = Uuid::nil().to_string();
    for arguments in [
        &["edit", &id, "--reason", "x", "--type", "x"][..],
        &["restore", &id, "--reason", "x"],
        &["forget", &id, "--reason", "x", "--yes"],
    ] {
        let ended = outbox.command_as(&admin, arguments).await?;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let said = "has no column operation_id: `outbox-relay check` prints the SQL";
        assert!(ended.err.contains(said), "{ended:?}");
    }
    let check = outbox.command(&["check"]).await?;
    for column in ["error_kind", "error_fingerprint", "operation_id"] {
        assert!(check.out.contains(&format!("the column {column} is missing")), "{check:?}");
    }
    Ok(())
}

#[tokio::test]
async fn failures_form_groups_with_what_waits_behind_them() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 5).await?;
    add_failed(&outbox, "order.paid", ["returned", NO_QUEUE], 2).await?;
    add_failed(&outbox, "order.created", ["unpublishable", TOO_LONG], 3).await?;
    // Behind two aggregates of the first group.
    for aggregate in ["order.created 00000000000000aa-1", "order.created 00000000000000aa-2"] {
        for _ in 0..2 {
            outbox.add(aggregate, "order.created").await?;
        }
    }
    outbox.add("free", "order.created").await?;
    // As an older release notes it.
    outbox
        .sql
        .batch_execute(
            "UPDATE outbox SET attempts = 1, next_attempt_at = 'infinity', last_error = 'x' WHERE aggregate_id = 'free'",
        )
        .await?;
    let listed = outbox.command(&["failures", "--json"]).await?.json()?;
    let groups: Vec<[&Value; 6]> = listed["failures"]
        .as_array()
        .context("an array")?
        .iter()
        .map(|group| {
            ["kind", "event_type", "events", "stuck", "aggregates", "waiting_behind"]
                .map(|member| &group[member])
        })
        .collect();
    let expected = [
        json!(["returned", "order.created", 5, 5, 5, 4]),
        json!(["unpublishable", "order.created", 3, 3, 3, 0]),
        json!(["returned", "order.paid", 2, 2, 2, 0]),
    ];
    assert_eq!(json!(groups), json!(expected));
    assert_eq!((&listed["has_more"], &listed["without_cause"]), (&json!(false), &json!(1)));
    assert_eq!(listed["without_cause_is_capped"], false);
    let without_cause = outbox
        .sql
        .query_one(
            "SELECT events, is_capped, example_error FROM outbox_failures WHERE error_kind IS NULL",
            &[],
        )
        .await?;
    let (events, is_capped): (i64, bool) = (without_cause.get(0), without_cause.get(1));
    assert_eq!((events, is_capped, without_cause.get::<_, &str>(2)), (1, false, "x"));

    // The view says the same.
    let view =
        "SELECT coalesce(error_kind, ''), event_type, events, stuck, aggregates, waiting_behind
                FROM outbox_failures WHERE error_kind IS NOT NULL";
    let rows = outbox.sql.query(view, &[]).await?;
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let numbers = [2, 3, 4, 5].map(|column| row.get::<_, i64>(column));
            json!([
                row.get::<_, &str>(0),
                row.get::<_, &str>(1),
                numbers[0],
                numbers[1],
                numbers[2],
                numbers[3]
            ])
        })
        .collect();
    assert_eq!(rows, expected);

    let page = outbox.command(&["failures", "--limit", "1"]).await?;
    assert!(
        page.out.starts_with("5 events of order.created: returned 00000000000000aa\n"),
        "{page:?}"
    );
    assert!(page.out.contains("4 events wait behind"), "{page:?}");
    assert!(
        page.err.contains("more groups") && page.err.contains("without a cause: 1."),
        "{page:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_bulk_change_touches_what_was_counted_and_nothing_else() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 12).await?;
    add_failed(&outbox, "order.created", ["unpublishable", TOO_LONG], 3).await?;
    let select = ["--fingerprint", NO_QUEUE, "--type", "order.created"];
    let counted =
        outbox.command(&[&["retry", "--json", "--dry-run"], &select[..]].concat()).await?;
    let counted = counted.json()?;
    assert_eq!((&counted["matched"], &counted["dry_run"]), (&json!(12), &json!(true)));
    assert_eq!(counted["examples"].as_array().map(Vec::len), Some(10), "{counted}");
    let due = "SELECT count(*) FROM outbox WHERE next_attempt_at <= now()";
    assert_eq!(outbox.count(due, &[]).await?, 0, "a dry run changes nothing");

    // New ones come.
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 4).await?;
    let unexpected = outbox.command(&[&["retry", "--expect", "12"], &select[..]].concat()).await?;
    assert_eq!(unexpected.code, Some(1), "{unexpected:?}");
    assert!(
        unexpected.err.contains("16 events match, not 12: nothing was changed"),
        "{unexpected:?}"
    );
    assert_eq!(outbox.count(due, &[]).await?, 0);
    let asking = outbox.command(&[&["retry"], &select[..]].concat()).await?;
    assert_eq!(asking.code, Some(64), "{asking:?}");

    let up_to = counted["up_to_id"].to_string();
    let retry = [&["retry", "--json", "--expect", "12", "--up-to-id", &up_to], &select[..]];
    let retried = outbox.command(&retry.concat()).await?.json()?;
    assert_eq!((&retried["matched"], &retried["retried"]), (&json!(12), &json!(12)));
    let first = "SELECT count(*) FROM outbox WHERE next_attempt_at <= now() AND id <= 12";
    assert_eq!((outbox.count(due, &[]).await?, outbox.count(first, &[]).await?), (12, 12));
    let operation = retried["operation_id"].as_str().context("an id")?.parse::<Uuid>()?;
    let noted = "SELECT count(*) FROM outbox_audit WHERE operation_id = $1 AND action = 'retry'";
    assert_eq!(outbox.count(noted, &[&operation]).await?, 12);

    // The same for discard.
    let discard = ["discard", "--kind", "unpublishable", "--reason", "x"];
    let asking = outbox.command(&discard).await?;
    assert_eq!(asking.code, Some(64), "{asking:?}");
    let discarded = outbox.command(&[&discard[..], &["--expect", "3"]].concat()).await?;
    assert_eq!(discarded.code, Some(0), "{discarded:?}");
    assert!(discarded.out.starts_with("3 events are discarded"), "{discarded:?}");
    let noted = "SELECT count(DISTINCT operation_id) FROM outbox_audit";
    assert_eq!(outbox.count(noted, &[]).await?, 2);
    Ok(())
}

#[tokio::test]
async fn filters_select_by_what_an_event_is_and_why_it_failed() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 2).await?;
    add_failed(&outbox, "order.paid", ["unpublishable", TOO_LONG], 3).await?;
    let old = "UPDATE outbox SET created_at = now() - interval '2 hours', aggregate_type = 'bill' WHERE id = 1";
    outbox.sql.batch_execute(old).await?;
    for (arguments, expected) in [
        (&["--kind", "returned"][..], &[1, 2][..]),
        (&["--fingerprint", "00000000000000BB"], &[3, 4, 5]),
        (&["--error", "Reason OF 00000000000000bb"], &[3, 4, 5]),
        (&["--error", "%"], &[]),
        (&["--aggregate-type", "bill"], &[1]),
        (&["--aggregate", "order.paid 00000000000000bb-2"], &[4]),
        (&["--type", "order.paid", "--kind", "returned"], &[]),
        (&["--since", "1h"], &[2, 3, 4, 5]),
        (&["--until", "1h"], &[1]),
    ] {
        let listed =
            outbox.command(&[&["events", "--stuck", "--json"], arguments].concat()).await?;
        let ids: Vec<i64> = listed
            .out
            .lines()
            .map(|line| Ok(serde_json::from_str::<Value>(line)?["id"].as_i64().unwrap_or(0)))
            .collect::<anyhow::Result<_>>()?;
        assert_eq!(ids, expected, "{arguments:?}");
        let counted =
            outbox.command(&[&["retry", "--json", "--dry-run"], arguments].concat()).await?;
        assert_eq!(counted.json()?["matched"], json!(expected.len()), "{arguments:?}");
    }
    for wrong in [&["--kind", "unsettled"][..], &["--fingerprint", "xyz"], &["--since", "soon"]] {
        let ended = outbox.command(&[&["events"], wrong].concat()).await?;
        assert_eq!(ended.code, Some(64), "{ended:?}");
    }
    // What failed before it was published keeps its cause.
    outbox
        .sql
        .batch_execute("UPDATE outbox SET published_at = now(), next_attempt_at = NULL")
        .await?;
    let replay = ["replay", "--dry-run", "--json", "--kind", "unpublishable"];
    let counted = outbox.command(&replay).await?.json()?;
    assert_eq!((&counted["matched"], &counted["up_to_id"]), (&json!(3), &json!(5)), "{counted}");
    Ok(())
}

//! `outbox-relay dead-letters list`, `groups` and `show`, and what they say when something is
//! missing.

use pipeline_tests::dead_letter_queue::{DeadLetterQueue, QUEUE};
use pipeline_tests::desk::Rows;
use pipeline_tests::relay_command::outbox_relay;
use serde_json::{Value, json};

/// Rows of three groups: two of each, three of them settled.
async fn three_groups() -> anyhow::Result<(DeadLetterQueue, Vec<i64>)> {
    let desk = DeadLetterQueue::desk().await?;
    let mut ids = desk.add_rows(2, Rows::default()).await?;
    let paid = Rows { event_type: "order.paid", ..Rows::default() };
    ids.extend(desk.add_rows(2, paid).await?);
    let expired =
        Rows { kind: "expired", fingerprint: "00000000000000bb", reason: "", ..Rows::default() };
    ids.extend(desk.add_rows(2, expired).await?);
    Ok((desk, ids))
}

fn ids(listed: &[Value]) -> Vec<i64> {
    listed.iter().filter_map(|letter| letter["id"].as_i64()).collect()
}

#[tokio::test]
async fn each_filter_option_selects_its_dead_letters() -> anyhow::Result<()> {
    let (desk, all) = three_groups().await?;
    let viewer = desk.person("dead_letters_viewer").await?;
    desk.sql
        .batch_execute(&format!(
            "UPDATE dead_letters SET state = 'returned', settled_at = now() WHERE id = {};
             UPDATE dead_letters SET state = 'discarded', settled_at = now() WHERE id = {};
             UPDATE dead_letters SET collected_at = now() - interval '2 days' WHERE id = {};
             UPDATE dead_letters SET queue = 'other.dlq' WHERE id = {}",
            all[1], all[3], all[4], all[5]
        ))
        .await?;
    for (arguments, expected) in [
        (&[][..], &[0, 2, 4, 5][..]),
        (&["--limit", "2"], &[0, 2]),
        (&["--queue", QUEUE], &[0, 2, 4]),
        (&["--kind", "expired"], &[4, 5]),
        (&["--kind", "failed", "--type", "order.paid"], &[2]),
        (&["--fingerprint", "00000000000000AA"], &[0, 2]),
        (&["--fingerprint", "00000000000000bb", "--queue", "other.dlq"], &[5]),
        (&["--type", "order.created", "--limit", "1"], &[0]),
        (&["--reason", "CUSTOMER 1"], &[0, 2]),
        (&["--error", "customer 2"], &[]),
        (&["--message-id", "m1"], &[0, 2, 4]),
        (&["--since", "1d"], &[0, 2, 5]),
        (&["--until", "1d"], &[4]),
        (&["--state", "returned"], &[1]),
        (&["--state", "discarded"], &[3]),
        (&["--state", "returning"], &[]),
        (&["--state", "any", "--message-id", "m2"], &[5, 3, 1]),
    ] {
        let ended =
            desk.command_as(&viewer, "alice", &[&["list", "--json"], arguments].concat()).await?;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        let expected: Vec<i64> = expected.iter().map(|place| all[*place]).collect();
        assert_eq!(ids(&ended.json_lines()?), expected, "{arguments:?}");
    }
    let ended = desk.command(&["list", "--limit", "2"]).await?;
    assert!(
        ended.out.starts_with("     ID  QUEUE") || ended.out.contains("ID  QUEUE"),
        "{ended:?}"
    );
    let more = format!("There are more dead letters: --after {} lists the next ones.", all[2]);
    assert!(ended.err.contains(&more), "{ended:?}");
    let ended = desk.command(&["list", "--state", "returning"]).await?;
    assert_eq!((ended.code, ended.err.trim()), (Some(0), "No dead letters match."));
    Ok(())
}

#[tokio::test]
async fn groups_are_printed_with_their_counts_and_an_example() -> anyhow::Result<()> {
    let (desk, all) = three_groups().await?;
    let viewer = desk.person("dead_letters_viewer").await?;
    let more = desk.add_rows(3, Rows::default()).await?;
    desk.sql
        .batch_execute(&format!("UPDATE dead_letters SET returns = 1 WHERE id = {}", all[0]))
        .await?;
    let report = desk.command_as(&viewer, "alice", &["groups", "--json"]).await?.json()?;
    let groups = report["groups"].as_array().expect("a list");
    let told: Vec<_> = groups
        .iter()
        .map(|group| {
            (group["kind"].as_str(), group["event_type"].as_str(), group["messages"].as_i64())
        })
        .collect();
    let expected = [
        (Some("failed"), Some("order.created"), Some(5)),
        (Some("expired"), Some("order.created"), Some(2)),
        (Some("failed"), Some("order.paid"), Some(2)),
    ];
    assert_eq!(told, expected, "{report}");
    assert_eq!(groups[0]["returned_before"], 1, "{report}");
    assert_eq!(groups[0]["example_id"], all[0], "{report}");
    assert_eq!(groups[0]["up_to_id"], more[2], "{report}");
    assert_eq!(groups[0]["is_capped"], false, "{report}");
    assert_eq!(report["has_more"], false);
    let page = desk.command_as(&viewer, "alice", &["groups", "--limit", "1"]).await?;
    let heading = "5 dead letters of order.created in billing.dlq: failed 00000000000000aa\n";
    assert!(page.out.starts_with(heading), "{page:?}");
    assert!(page.out.contains("1 had been returned before"), "{page:?}");
    assert!(page.err.contains("There are more groups"), "{page:?}");
    let other = desk.command(&["groups", "--queue", "other.dlq"]).await?;
    assert_eq!(other.out, "No dead letters are open.\n");
    Ok(())
}

#[tokio::test]
async fn the_largest_of_many_groups_is_first_though_none_is_counted_to_its_end()
-> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    // 300 causes by turns, and one more that came at once.
    desk.sql
        .batch_execute(
            "INSERT INTO dead_letters (queue, identity, event_type, body, content_header, properties, headers, error_kind, fingerprint)
             SELECT 'billing.dlq', '', '', '', '', '{}', '{}', 'failed', lpad((i % 300)::text, 16, '0') FROM generate_series(1, 60000) AS i",
        )
        .await?;
    let large = Rows { fingerprint: "ffffffffffffffff", ..Rows::default() };
    desk.add_rows(5000, large).await?;
    let report = desk.command(&["groups", "--limit", "1", "--json"]).await?.json()?;
    let group = &report["groups"][0];
    assert_eq!(group["fingerprint"], "ffffffffffffffff", "{report}");
    assert_eq!((&group["is_capped"], &report["is_cut"]), (&json!(true), &json!(false)), "{report}");
    Ok(())
}

#[tokio::test]
async fn a_body_is_shown_as_far_as_a_terminal_takes_it() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let viewer = desk.person("dead_letters_viewer").await?;
    let found = desk.add_rows(3, Rows { reason: "a \x1b[2J escape", ..Rows::default() }).await?;
    for (id, body) in [
        (found[0], "convert_to(E'colour \\x1b[31m', 'UTF8')"),
        (found[1], r"'\x00ff'::bytea"),
        (found[2], "convert_to(repeat('ñ', 90000), 'UTF8')"),
    ] {
        let update = format!("UPDATE dead_letters SET body = {body} WHERE id = {id}");
        desk.sql.batch_execute(&update).await?;
    }
    for (id, body, json) in [
        (found[0], "colour \\u{1b}[31m\n", json!("colour \x1b[31m")),
        (found[1], "no text (--json shows it in base64)\n", Value::Null),
        (found[2], "ñ\n… (--json shows all of it)\n", json!("ñ".repeat(90_000))),
    ] {
        let id = id.to_string();
        let shown = desk.command_as(&viewer, "alice", &["show", &id]).await?;
        assert_eq!(shown.code, Some(0), "{shown:?}");
        assert!(shown.out.contains(body), "{}", shown.out);
        assert!(!shown.out.contains('\x1b'), "{}", shown.out);
        let shown = desk.command(&["show", &id, "--json"]).await?.json()?;
        assert!(shown["body"] == json, "{id}");
        assert_eq!(shown["dead_letter"]["queue"], QUEUE);
    }
    let shown = desk.command(&["show", &found[1].to_string(), "--json"]).await?.json()?;
    assert_eq!(shown["body_base64"], "AP8=");
    let missing = desk.command(&["show", "999999"]).await?;
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.err.contains("there is no dead letter 999999"), "{missing:?}");
    Ok(())
}

#[tokio::test]
async fn without_the_tables_every_command_says_how_to_add_them() -> anyhow::Result<()> {
    let database = stack::shared().await?.database("no_desk").await?;
    let settings = [
        // The fallback.
        ("DATABASE_URL", database.url.as_str()),
        ("RABBITMQ_URL", "amqp://127.0.0.1:1"),
    ];
    for arguments in [
        &["list"][..],
        &["groups"],
        &["audit"],
        &["show", "7"],
        &["return", "7"],
        &["note", "7", "--text", "x"],
        &["discard", "7", "--reason", "x"],
        &["forget", "7", "--reason", "x", "--yes"],
    ] {
        let ended = outbox_relay(&[&["dead-letters"], arguments].concat(), &settings).await?;
        assert_eq!(ended.code, Some(1), "{arguments:?}: {ended:?}");
        assert!(ended.err.contains("outbox-relay dead-letters schema | psql"), "{ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    }
    Ok(())
}

#[tokio::test]
async fn wrong_arguments_end_with_64() -> anyhow::Result<()> {
    let settings = [("DATABASE_URL", "postgres://u@127.0.0.1:1/d"), ("RABBITMQ_URL", "amqp://h")];
    for arguments in [
        &["list", "--limit", "0"][..],
        &["list", "--state", "lost"],
        &["list", "--fingerprint", "7"],
        &["list", "--kind", "fialed"],
        &["list", "--after", "tomorrow/7"],
        &["audit", "--action", "retry"],
        &["audit", "--operation", "7"],
        &["show", "x"],
        &["return"],
        &["return", "7", "--queue", "q"],
        &["return", "7", "--rate", "fast"],
        // Without a terminal nobody can be asked.
        &["return", "--queue", "q"],
        &["discard", "7"],
        &["discard", "7", "--reason", " "],
        &["discard", "--queue", "q", "--reason", "x"],
        &["note", "7"],
        &["note", "7", "--text", "x", "--clear"],
        &["forget", "7", "--reason", "x"],
    ] {
        let ended = outbox_relay(&[&["dead-letters"], arguments].concat(), &settings).await?;
        assert_eq!(ended.code, Some(64), "{arguments:?}: {ended:?}");
        assert!(ended.err.starts_with("error: ") && ended.out.is_empty(), "{ended:?}");
    }
    let ended = outbox_relay(&["dead-letters", "list"], &[]).await?;
    assert_eq!(ended.code, Some(64), "{ended:?}");
    assert!(ended.err.contains("DATABASE_URL"), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn every_command_has_a_help_with_an_example() -> anyhow::Result<()> {
    let help = outbox_relay(&["dead-letters", "--help"], &[]).await?;
    assert_eq!(help.code, Some(0), "{help:?}");
    for command in ["list", "groups", "show", "audit", "return", "note", "discard", "forget"] {
        assert!(help.out.contains(command), "{}", help.out);
        let help = outbox_relay(&["dead-letters", command, "--help"], &[]).await?;
        assert_eq!(help.code, Some(0), "{help:?}");
        let example = format!("outbox-relay dead-letters {command} ");
        let (_, examples) = help.out.split_once("Example").expect("an example");
        assert!(examples.contains(&example), "{}", help.out);
        for said in ["--json", "DEAD_LETTERS_DATABASE_URL", "--timeout"] {
            assert!(help.out.contains(said), "{command} {said}: {}", help.out);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_role_that_lacks_a_right_is_told_which_one_has_it() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let id = desk.add_rows(1, Rows::default()).await?[0].to_string();
    let viewer = desk.person("dead_letters_viewer").await?;
    let operator = desk.person("dead_letters_operator").await?;
    for (url, login, needed, arguments) in [
        (&viewer, "dead_letters_viewer", "dead_letters_operator", &["return", &id][..]),
        (&viewer, "dead_letters_viewer", "dead_letters_operator", &["note", &id, "--text", "x"]),
        (&viewer, "dead_letters_viewer", "dead_letters_admin", &["discard", &id, "--reason", "x"]),
        (
            &operator,
            "dead_letters_operator",
            "dead_letters_admin",
            &["forget", &id, "--reason", "x", "--yes"],
        ),
    ] {
        let ended = desk.command_as(url, "alice", arguments).await?;
        assert_eq!(ended.code, Some(1), "{arguments:?}: {ended:?}");
        let grant = format!("GRANT {needed} TO \"person_of_{login}\";");
        assert!(ended.err.contains(&grant), "{arguments:?}: {ended:?}");
    }
    assert!(desk.audit().await?.is_empty());
    assert_eq!(desk.in_state("open").await?, 1);
    Ok(())
}

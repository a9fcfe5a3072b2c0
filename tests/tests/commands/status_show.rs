//! The read-only commands of `outbox-relay`: `status`, `events` and `show`.

use anyhow::Context as _;
use pipeline_tests::outbox::{Outbox, eventually};
use serde_json::Value;
use uuid::Uuid;

/// Adds an event in each state: published, ready, waiting, stuck. Returns their event_ids in this
/// order.
async fn one_of_each(outbox: &Outbox) -> anyhow::Result<[Uuid; 4]> {
    let rows = outbox
        .sql
        .query(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, created_at, published_at, attempts,
                                 next_attempt_at, last_error)
             VALUES ('order', '1', 'order.created', '{}', now() - interval '3 days', now() - interval '1 second', 0, NULL, NULL),
                    ('order', '2', 'order.created', '{}', now() - interval '2 days', NULL, 0, NULL, NULL),
                    ('order', '3', 'order.shipped', '{}', now(), NULL, 2, now() + interval '1 hour', 'no queue'),
                    ('order', '4', 'order.shipped', '{}', now(), NULL, 7, 'infinity', 'no object')
             RETURNING event_id",
            &[],
        )
        .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    ids.try_into().ok().context("four rows")
}

fn aggregates(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["aggregate_id"].as_str().unwrap_or_default()).collect()
}

#[tokio::test]
async fn events_are_listed_by_state_aggregate_type_and_age() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    one_of_each(&outbox).await?;
    for (arguments, expected) in [
        (&[][..], &["4", "3", "2", "1"][..]),
        (&["--pending"], &["2", "3", "4"]),
        (&["--stuck"], &["4"]),
        (&["--published"], &["1"]),
        (&["--aggregate", "3"], &["3"]),
        (&["--type", "order.created"], &["2", "1"]),
        (&["--pending", "--type", "order.shipped"], &["3", "4"]),
        (&["--since", "1h"], &["4", "3"]),
        (&["--since", "60h"], &["4", "3", "2"]),
        (&["--since", "2020-01-01T00:00:00Z", "--limit", "2"], &["4", "3"]),
        (&["--type", "x' OR true --"], &[]),
    ] {
        let ended = outbox.command(&[&["events", "--json"], arguments].concat()).await?;
        // How to go on is said on standard error, so that a program can read it too.
        let more = if arguments.contains(&"--limit") {
            "There are more events: --after 3 lists the next ones.\n"
        } else {
            ""
        };
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), more), "{arguments:?}");
        assert_eq!(aggregates(&ended.json_lines()?), expected, "{arguments:?}");
    }
    let stuck = outbox.command(&["events", "--stuck", "--json"]).await?.json_lines()?;
    assert_eq!(stuck[0]["state"], "stuck");
    assert_eq!(stuck[0]["next_attempt_at"], "infinity");
    assert_eq!((&stuck[0]["attempts"], &stuck[0]["last_error"]), (&7.into(), &"no object".into()));

    let table = outbox.command(&["events", "--pending"]).await?;
    let lines: Vec<&str> = table.out.lines().collect();
    assert_eq!(lines.len(), 4, "{}", table.out);
    assert!(lines[0].contains("EVENT") && lines[0].ends_with("LAST ERROR"), "{}", table.out);
    assert!(lines[1].contains("order 2") && lines[1].contains("  2d  "), "{}", table.out);
    assert!(lines[2].contains("waiting") && lines[2].ends_with("no queue"), "{}", table.out);
    assert_eq!(table.err, "");
    let cut = outbox.command(&["events", "--limit", "3"]).await?;
    assert_eq!(cut.err, "There are more events: --after 2 lists the next ones.\n");
    let all = outbox.command(&["events", "--limit", "4"]).await?;
    assert_eq!(all.err, "");
    Ok(())
}

#[tokio::test]
async fn one_event_is_shown_with_payload_headers_and_what_it_waits_for() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let [.., stuck] = one_of_each(&outbox).await?;
    let row = outbox
        .sql
        .query_one(
            r#"INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
               VALUES ('order', '4', 'order.delivered', '{"price": 1.10, "big": 123456789012345678901234567890}', '{"n": 1.50}')
               RETURNING event_id"#,
            &[],
        )
        .await?;
    let behind: Uuid = row.get(0);

    let ended = outbox.command(&["show", &behind.to_string(), "--json"]).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains(r#""price": 1.10"#), "numbers keep their digits: {}", ended.out);
    assert!(ended.out.contains("123456789012345678901234567890"), "{}", ended.out);
    assert!(ended.out.contains("1.50"), "{}", ended.out);
    let document = ended.json()?;
    assert_eq!(document["event"]["state"], "behind");
    assert_eq!(document["event"]["waits_behind"], stuck.to_string());

    let page = outbox.command(&["show", &behind.to_string()]).await?;
    assert_eq!(page.code, Some(0));
    for said in ["order.delivered", "order 4", "\"price\": 1.10", &stuck.to_string(), "1.50"] {
        assert!(page.out.contains(said), "{said}: {}", page.out);
    }
    let unknown = outbox.command(&["show", &Uuid::nil().to_string()]).await?;
    assert_eq!((unknown.code, unknown.out.as_str()), (Some(1), ""));
    assert!(unknown.err.starts_with("error: there is no event "), "{}", unknown.err);
    Ok(())
}

#[tokio::test]
async fn what_rows_hold_never_commands_a_terminal() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let evil = "\x1b]0;pwned\x07\u{9b}2J\u{202e}\n";
    let payload = serde_json::json!({ "evil": evil });
    let row = outbox
        .sql
        .query_one(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers, attempts, next_attempt_at, last_error)
             VALUES ($1, $1, $1, $2, $2, 1, 'infinity', $1) RETURNING event_id",
            &[&evil, &payload],
        )
        .await?;
    let event_id = row.get::<_, Uuid>(0).to_string();
    for arguments in [
        &["events"][..],
        &["events", "--json"],
        &["show", &event_id],
        &["show", &event_id, "--json"],
        &["status"],
        &["status", "--json"],
        &["retry", "--stuck", "--yes", "--reason", "tried"],
        &["discard", &event_id, "--reason", "gone"],
        &["show", &event_id],
        &["show", &event_id, "--json"],
    ] {
        let ended = outbox.command(arguments).await?;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        let risky = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!ended.out.contains(risky), "{arguments:?}: {:?}", ended.out);
        assert!(!ended.err.contains(risky), "{arguments:?}: {:?}", ended.err);
        if arguments.contains(&"--json") && arguments[0] == "show" {
            assert_eq!(ended.json()?["payload"]["evil"], evil, "{arguments:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_status_tells_backlog_rate_relays_and_what_is_stuck() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let before = outbox.command(&["status", "--json"]).await?.json()?;
    assert_eq!(before["backlog"]["pending"], 0);
    assert_eq!(before["backlog"]["oldest"], Value::Null);
    assert_eq!(before["relays"], serde_json::json!([]));
    let none = outbox.command(&["status"]).await?;
    assert!(none.out.contains("no relay is at work"), "{}", none.out);

    outbox.queue("all", "order.published").await?;
    let [_, ready, _, stuck] = one_of_each(&outbox).await?;
    let relays = [outbox.relay_process(&[]).await?, outbox.relay_process(&[]).await?];
    for aggregate in 100..120 {
        outbox.add(&aggregate.to_string(), "order.published").await?;
    }
    let mut status = Value::Null;
    eventually("both relays own their lanes and have published", async || {
        status = outbox.command(&["status", "--json"]).await?.json()?;
        let lanes = |relay: usize| status["relays"][relay]["lanes"].as_array().map_or(0, Vec::len);
        Ok(lanes(0) == 32 && lanes(1) == 32 && status["backlog"]["pending"] == 3)
    })
    .await?;
    assert_eq!(status["lanes"], serde_json::json!({ "owned": 64, "of": 64 }));
    assert_eq!(status["relays"][0]["name"], "outbox-relay");
    assert_eq!(status["backlog"]["stuck"], 1);
    assert_eq!(status["backlog"]["oldest"]["event_id"], ready.to_string());
    assert!(status["backlog"]["oldest"]["age_seconds"].as_f64() > Some(172_000.0), "{status}");
    assert_eq!(status["stuck"][0]["event_id"], stuck.to_string());
    assert_eq!(status["stuck"][0]["last_error"], "no object");
    let rate = &status["published_last_minute"];
    assert_eq!((&rate["events"], &rate["at_least"]), (&21.into(), &false.into()));
    assert_eq!(rate["by_type"][0]["event_type"], "order.published");
    assert_eq!(rate["by_type"][0]["events"], 20);

    let page = outbox.command(&["status"]).await?;
    assert_eq!(page.code, Some(0));
    for said in [
        "3 pending: ",
        "1 stuck\n",
        "64 of 64 owned by 2 relays",
        "21 published in the last minute",
        "no object",
    ] {
        assert!(page.out.contains(said), "{said}: {}", page.out);
    }
    drop(relays);
    Ok(())
}

#[tokio::test]
async fn the_rate_is_seen_also_under_a_long_backlog() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox
        .sql
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, published_at)
             SELECT 'order', i, 'order.created', '{}', now() - interval '1 hour' FROM generate_series(1, 1000) AS i;
             INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, published_at)
             SELECT 'order', i, 'order.created', '{}', now() FROM generate_series(1, 700) AS i;
             INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
             SELECT 'order', i, 'order.created', '{}' FROM generate_series(1, 120000) AS i",
        )
        .await?;
    let status = outbox.command(&["status", "--json"]).await?.json()?;
    assert_eq!(status["backlog"]["pending"], 100_000, "counting stops there");
    let rate = &status["published_last_minute"];
    // The backlog was skipped, and may hide some.
    assert_eq!((&rate["events"], &rate["at_least"]), (&700.into(), &true.into()));
    Ok(())
}

/// A thousand a second: not all of a minute are read to say so.
#[tokio::test]
async fn the_rate_of_many_events_is_that_of_the_newest() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox
        .sql
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, published_at)
             SELECT 'order', i, CASE WHEN i % 4 = 0 THEN 'order.shipped' ELSE 'order.created' END, '{}',
                    now() - (60000 - i) * interval '1 millisecond'
             FROM generate_series(1, 60000) AS i",
        )
        .await?;
    let status = outbox.command(&["status", "--json"]).await?.json()?;
    let rate = &status["published_last_minute"];
    assert_eq!((&rate["estimated"], &rate["at_least"]), (&true.into(), &false.into()));
    // The insert and the command take a moment, in which nothing more is published.
    let events = |rate: &Value| rate["events"].as_i64().unwrap_or_default();
    assert!((40_000..=60_000).contains(&events(rate)), "{rate}");
    let shipped = &rate["by_type"][1];
    assert_eq!(shipped["event_type"], "order.shipped");
    assert!((events(rate) / 4 - events(shipped)).abs() < 10, "{rate}");
    let page = outbox.command(&["status"]).await?.out;
    assert!(page.contains("about "), "{page}");
    Ok(())
}

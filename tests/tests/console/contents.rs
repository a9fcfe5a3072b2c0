//! Large payloads, bodies and headers: a page reads a part of them, and few pages read at a time.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::future::join_all;
use pipeline_tests::console::Console;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::Rows;
use pipeline_tests::outbox::{Outbox, connect, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

type Tested = anyhow::Result<()>;

/// How much of contents a page shows.
const SHOWN: usize = 256 * 1024;

/// 16 MiB of JSON that takes little on disk.
const SMALL_ON_DISK: &str = "jsonb_build_object('secret', repeat('x', 16777216))";

/// A megabyte of JSON that takes as much on disk.
const LARGE_ON_DISK: &str = "(SELECT jsonb_build_object('secret', string_agg(md5(i::text), '')) FROM generate_series(1, 32768) AS i)";

/// Adds a stuck event, and returns its event_id.
async fn add(outbox: &Outbox, payload: &str, headers: &str) -> anyhow::Result<String> {
    let sql = format!(
        "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers, attempts, next_attempt_at, last_error)
         VALUES ('order', '1', 'order.created', {payload}, {headers}, 1, 'infinity', 'it is too large')
         RETURNING event_id::text"
    );
    Ok(outbox.sql.query_one(&sql, &[]).await?.get(0))
}

/// The length of a text.
fn length(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.chars().count())
}

#[tokio::test]
async fn of_a_large_payload_the_beginning_is_shown() -> Tested {
    let outbox = Outbox::new().await?;
    let event_id = add(&outbox, SMALL_ON_DISK, "'{}'").await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let path = format!("/events/{event_id}");
    let event = console.json(&path).await?["event"].clone();
    let cut = &event["cut_payload"];
    assert_eq!((length(&cut["beginning"]), &event["payload"]), (SHOWN, &Value::Null));
    ensure!(cut["bytes"].as_i64() > Some(16 << 20), "{}", cut["bytes"]);
    let page = console.page(&path).await?;
    ensure!(page.len() < 4 * SHOWN && page.contains("this is the beginning"), "{}", page.len());
    ensure!(page.contains(&format!("<code>outbox-relay show {event_id} --json</code>")));
    // The command prints all of it.
    let shown = outbox.command(&["show", &event_id, "--json"]).await?.json()?;
    assert_eq!(length(&shown["payload"]["secret"]), 16 << 20);
    // It can be found, retried and discarded, but not edited in a page.
    assert_eq!(console.get(&format!("/search?q={event_id}")).await?.headers["location"], path);
    let edit = console.get(&format!("/confirm/edit?event_id={event_id}")).await?;
    assert_eq!(edit.status, StatusCode::BAD_REQUEST, "{}", edit.text);
    ensure!(edit.text.contains("too large for a page"), "{}", edit.text);
    let form = [("reason".to_owned(), "a test".to_owned())];
    let mut discard = console.form(&format!("/confirm/discard?event_id={event_id}")).await?;
    discard.extend(form);
    assert_eq!(console.operate(&discard).await?["state"], "done");
    let event = console.json(&path).await?["event"].clone();
    assert_eq!((&event["event"]["state"], &event["payload"]), (&json!("discarded"), &Value::Null));
    assert_eq!(length(&event["cut_payload"]["beginning"]), SHOWN);
    Ok(())
}

#[tokio::test]
async fn contents_that_take_much_on_disk_are_not_read() -> Tested {
    let outbox = Outbox::new().await?;
    let event_id = add(&outbox, LARGE_ON_DISK, LARGE_ON_DISK).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let path = format!("/events/{event_id}");
    let event = console.json(&path).await?["event"].clone();
    let cut = &event["cut_payload"];
    assert_eq!((&cut["beginning"], &cut["bytes"]), (&json!(""), &Value::Null));
    for stored in [&cut["stored_bytes"], &event["event"]["headers_stored_bytes"]] {
        ensure!(stored.as_i64() > Some(1 << 19), "{event}");
    }
    assert_eq!(event["event"]["headers"], Value::Null);
    ensure!(event.get("digest").is_none(), "{event}");
    let page = console.page(&path).await?;
    ensure!(page.contains("is too large to be read for a page"), "{page}");
    for edit in ["edit", "edit-headers"] {
        let edit = console.get(&format!("/confirm/{edit}?event_id={event_id}")).await?;
        assert_eq!(edit.status, StatusCode::BAD_REQUEST, "{}", edit.text);
    }
    Ok(())
}

#[tokio::test]
async fn of_a_large_body_the_beginning_is_shown() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    let letters = desk.add_rows(2, Rows::default()).await?;
    let fill = "UPDATE dead_letters SET body = CASE WHEN id = $1 THEN convert_to(repeat('ü', 8388608), 'UTF8')
                                                    ELSE decode(repeat('ff00', 8388608), 'hex') END";
    desk.sql.execute(fill, &[&letters[0]]).await?;
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    let [text, binary] = [letters[0], letters[1]].map(|id| format!("/dead-letters/{id}"));
    let letter = console.json(&text).await?;
    assert_eq!(letter["cut_body"]["bytes"], 16 << 20);
    assert_eq!(length(&letter["cut_body"]["beginning"]), SHOWN / 2);
    let page = console.page(&text).await?;
    ensure!(page.contains("this is the beginning") && page.contains("üüü"), "{}", page.len());
    let letter = console.json(&binary).await?;
    ensure!(letter["body_hex"].as_str().context("hex")?.starts_with("00000000  ff 00"));
    ensure!(console.page(&binary).await?.contains("00000000  ff 00"));
    let edit = console.get(&format!("/confirm/edit-letter?id={}", letters[0])).await?;
    assert_eq!(edit.status, StatusCode::BAD_REQUEST, "{}", edit.text);
    Ok(())
}

#[tokio::test]
async fn what_is_hidden_is_not_shown_in_part() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    let event_id = add(&outbox, SMALL_ON_DISK, "'{}'").await?;
    let letters = desk.add_rows(1, Rows::default()).await?;
    desk.sql
        .execute("UPDATE dead_letters SET body = convert_to(repeat('xx', 1048576), 'UTF8')", &[])
        .await?;
    let hidden = [("CONSOLE_HIDE_PAYLOADS", "true")];
    let console = Console::start(&outbox, Some(&desk), &hidden).await?;
    for path in [format!("/events/{event_id}"), format!("/dead-letters/{}", letters[0])] {
        for path in [path.clone(), format!("/api{path}")] {
            let page = console.page(&path).await?;
            ensure!(!page.contains("xxxx") && !page.contains("eHh4"), "{path}: {}", page.len());
        }
    }
    Ok(())
}

/// The most sessions of a command at a time, while something is `done`.
async fn most_sessions(
    outbox: &Outbox,
    command: &str,
    done: impl Future<Output = Tested>,
) -> anyhow::Result<i64> {
    let watch = connect(&outbox.database.url).await?;
    let sessions = "SELECT count(*) FROM pg_stat_activity
                    WHERE application_name = $1 AND datname = current_database() AND wait_event_type = 'Lock'";
    let name = format!("outbox command {command}");
    let mut done = std::pin::pin!(done);
    let mut most = 0;
    loop {
        let now: i64 = watch.query_one(sessions, &[&name]).await?.get(0);
        most = most.max(now);
        tokio::select! {
            ended = &mut done => return ended.map(|()| most),
            () = sleep(Duration::from_millis(20)) => {}
        }
    }
}

#[tokio::test]
async fn two_pages_with_contents_are_read_at_a_time() -> Tested {
    let outbox = Outbox::new().await?;
    let event_id = add(&outbox, "'{}'", "'{}'").await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let locker = connect(&outbox.database.url).await?;
    locker.batch_execute("BEGIN; LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE").await?;
    let path = format!("/events/{event_id}");
    let pages = async {
        for answer in join_all((0..6).map(|_| console.get(&path))).await {
            answer?;
        }
        Ok(())
    };
    assert_eq!(most_sessions(&outbox, "show", pages).await?, 2);
    locker.batch_execute("ROLLBACK").await?;
    for answer in join_all((0..6).map(|_| console.get(&path))).await {
        assert_eq!(answer?.status, StatusCode::OK);
    }
    Ok(())
}

#[tokio::test]
async fn two_large_edits_are_stored_at_a_time_and_small_ones_meanwhile() -> Tested {
    let outbox = Outbox::new().await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let mut edits = Vec::new();
    for size in [1 << 20, 1 << 20, 1 << 20, 10] {
        let event_id = add(&outbox, "'{}'", "'{}'").await?;
        let payload = json!({"name": "x".repeat(size)}).to_string();
        edits.push(json!({
            "action": "edit", "event_id": event_id, "payload": payload, "reason": "a test",
        }));
    }
    let locker = connect(&outbox.database.url).await?;
    locker.batch_execute("BEGIN; LOCK TABLE outbox IN SHARE MODE").await?;
    let mut paths = Vec::new();
    for edit in &edits {
        let begun = console.post_json("/api/operations", edit, &[]).await?;
        ensure!(begun.status == StatusCode::ACCEPTED, "{} {}", begun.status, begun.text);
        paths.push(begun.headers["location"].to_str()?.trim_start_matches("/api").to_owned());
    }
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE application_name = 'outbox command edit' AND datname = current_database() AND wait_event_type = 'Lock'";
    eventually("two large edits and a small one run", async || {
        let third = console.json(&paths[2]).await?;
        let has_turn = third["progress"] != "It waits until another change has ended.";
        Ok(!has_turn && outbox.count(waiting, &[]).await? == 3)
    })
    .await?;
    locker.batch_execute("ROLLBACK").await?;
    for path in paths {
        let has_ended = async || Ok(console.json(&path).await?["state"] != "running");
        eventually("the edit has ended", has_ended).await?;
        assert_eq!(console.json(&path).await?["state"], "done");
    }
    let stored = "SELECT count(*) FROM outbox WHERE payload ? 'name'";
    assert_eq!(outbox.count(stored, &[]).await?, 4);
    Ok(())
}

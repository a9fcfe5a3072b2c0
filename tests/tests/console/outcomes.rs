//! How changes end that the console was asked for: servers that are away, slow ones, long answers.

use anyhow::{Context as _, ensure};
use pipeline_tests::console::Console;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::Rows;
use pipeline_tests::failed_events::{NO_QUEUE, add_failed};
use pipeline_tests::outbox::{Outbox, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};

type Tested = anyhow::Result<()>;

const WAIT: &str = "/api/operations?wait=60";

/// A retry, a discard and so on of all events with the cause, as it was counted.
async fn counted(console: &Console, action: &str) -> anyhow::Result<Value> {
    let page = console.json(&format!("/confirm/{action}?fingerprint={NO_QUEUE}")).await?;
    Ok(json!({
        "action": action, "fingerprint": NO_QUEUE, "expect": page["count"],
        "up_to_id": page["up_to_id"], "reason": "a test",
        "operation": "0190163d-8694-739b-aea5-966c26f8ad91",
    }))
}

#[tokio::test]
async fn a_database_that_is_away_is_no_conflict() -> Tested {
    let outbox = Outbox::new().await?;
    let gone = [("DATABASE_URL", "postgres://nobody:secret@127.0.0.1:1/none")];
    let console = Console::start(&outbox, None, &gone).await?;
    let event_id = "0190163d-8694-739b-aea5-966c26f8ad91";
    let retry = json!({"action": "retry", "event_id": event_id});
    let ended = console.post_json(WAIT, &retry, &[]).await?;
    assert_eq!(ended.status, StatusCode::SERVICE_UNAVAILABLE, "{}", ended.text);
    let report = ended.json()?;
    assert_eq!((&report["state"], &report["exit_status"]), (&json!("failed"), &json!(69)));
    ensure!(report["errors"].to_string().contains("the database can't be reached"), "{report}");
    let counted = console.get("/api/confirm/retry?stuck=true").await?;
    assert_eq!(counted.status, StatusCode::SERVICE_UNAVAILABLE, "{}", counted.text);
    Ok(())
}

#[tokio::test]
async fn a_broker_that_is_away_is_no_conflict() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    let letters = desk.add_rows(1, Rows::default()).await?;
    let gone = [("RABBITMQ_URL", "amqp://nobody:secret@127.0.0.1:1")];
    let console = Console::start(&outbox, Some(&desk), &gone).await?;
    let back = json!({"action": "return", "id": letters[0]});
    let ended = console.post_json(WAIT, &back, &[]).await?;
    assert_eq!(ended.status, StatusCode::SERVICE_UNAVAILABLE, "{}", ended.text);
    ensure!(ended.text.contains("the broker can't be used"), "{}", ended.text);
    Ok(())
}

#[tokio::test]
async fn a_database_that_goes_away_during_a_change_is_no_conflict() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 5000).await?;
    let slow = "
        CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.7); RETURN NULL; END $$;
        CREATE TRIGGER take_long AFTER UPDATE ON outbox FOR EACH STATEMENT EXECUTE FUNCTION take_long()";
    outbox.sql.batch_execute(slow).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let retry = counted(&console, "retry").await?;
    let begun = console.post_json("/api/operations", &retry, &[]).await?;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.text);
    let path = begun.headers["location"].to_str()?.trim_start_matches("/api").to_owned();
    let has_begun = async || Ok(console.json(&path).await?["done"].as_i64() > Some(0));
    eventually("a batch is done", has_begun).await?;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE application_name = 'outbox command retry' AND datname = current_database()";
    assert_eq!(outbox.count(end, &[]).await?, 1);
    let ended = console.post_json(WAIT, &retry, &[]).await?;
    assert_eq!(ended.status, StatusCode::SERVICE_UNAVAILABLE, "{}", ended.text);
    ensure!(ended.text.contains("events were made due before"), "{}", ended.text);
    Ok(())
}

#[tokio::test]
async fn slow_returns_leave_room_for_others() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 1).await?;
    let letters = desk.add_rows(12, Rows::default()).await?;
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    let slow = |pair: &[i64]| json!({"action": "return", "id": pair, "rate": "1/h"});
    let mut begun = Vec::new();
    for pair in letters.chunks(2).take(4) {
        let answer = console.post_json("/api/operations", &slow(pair), &[]).await?;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        begun.push(answer.json()?["id"].clone());
    }
    let fifth = console.post_json("/api/operations", &slow(&letters[8..10]), &[]).await?;
    assert_eq!(fifth.status, StatusCode::SERVICE_UNAVAILABLE, "{}", fifth.text);
    ensure!(fifth.text.contains("kept to a rate"), "{}", fifth.text);
    // Others are done meanwhile.
    let quick = json!({"action": "return", "id": &letters[8..10]});
    let quick = console.post_json(WAIT, &quick, &[]).await?;
    assert_eq!(quick.status, StatusCode::OK, "{}", quick.text);
    let retry = console.post_json(WAIT, &counted(&console, "retry").await?, &[]).await?;
    assert_eq!(retry.status, StatusCode::OK, "{}", retry.text);
    // One that is stopped makes room.
    let stop = json!({"action": "stop", "operation": begun[0]});
    let stopped = console.post_json(WAIT, &stop, &[]).await?;
    assert_eq!(stopped.json()?["state"], "stopped", "{}", stopped.text);
    let next = console.post_json("/api/operations", &slow(&letters[10..]), &[]).await?;
    assert_eq!(next.status, StatusCode::ACCEPTED, "{}", next.text);
    Ok(())
}

#[tokio::test]
async fn of_a_long_answer_the_beginning_is_shown_and_the_number_told() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 30_000).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let discard = counted(&console, "discard").await?;
    let ended = console.post_json(WAIT, &discard, &[]).await?;
    assert_eq!(ended.status, StatusCode::OK, "{}", ended.text);
    let report = ended.json()?;
    let result = &report["result"];
    assert_eq!(result["discarded"].as_array().context("a list")?.len(), 1000);
    assert_eq!(result["cut"], json!({"discarded": 30_000}));
    assert_eq!(report["outcome_sentence"], "Done. 30000 matched, 30000 discarded.");
    Ok(())
}

//! What is changed in the console: what was counted, once, with a reason, and shown afterwards.

use anyhow::ensure;
use pipeline_tests::console::Console;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::{HOME, Rows};
use pipeline_tests::failed_events::{NO_QUEUE, TOO_LONG, add_failed};
use pipeline_tests::outbox::{Outbox, PATIENCE, connect, eventually};
use reqwest::StatusCode;
use serde_json::json;

type Tested = anyhow::Result<()>;

const DUE: &str = "SELECT count(*) FROM outbox WHERE next_attempt_at <> 'infinity'";

/// The numbers of forms that were opened a second time.
const OTHER_FORM: [&str; 2] =
    ["0190163d-8694-739b-aea5-966c26f8ad91", "0190163d-8694-739b-aea5-966c26f8ad92"];

fn with(form: &[(String, String)], name: &str, value: &str) -> Vec<(String, String)> {
    let others = form.iter().filter(|(field, _)| field != name).cloned();
    others.chain([(name.to_owned(), value.to_owned())]).collect()
}

#[tokio::test]
async fn a_group_is_retried_as_it_was_counted_and_the_audit_names_who_did_it() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 30).await?;
    add_failed(&outbox, "order.created", ["nacked", TOO_LONG], 5).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let confirm = format!("/confirm/retry?fingerprint={NO_QUEUE}");
    let page = console.json(&confirm).await?;
    assert_eq!((&page["count"], &page["needs_number"]), (&json!(30), &json!(false)));
    assert_eq!(page["examples"].as_array().map(Vec::len), Some(10));
    let form = console.form(&confirm).await?;
    // One that came since must not be among them, and is the reason to look again.
    add_failed(&outbox, "order.shipped", ["returned", NO_QUEUE], 1).await?;
    let ended = console.operate(&with(&form, "reason", "the queue is bound")).await?;
    assert_eq!((&ended["state"], &ended["result"]["retried"]), (&json!("done"), &json!(30)));
    assert_eq!(outbox.count(DUE, &[]).await?, 30);
    let reasons = "SELECT count(*) FROM outbox_audit WHERE action = 'retry' AND reason = 'the queue is bound'
                   AND db_user = 'outbox_operator' OR db_user = 'outbox_console' OR db_user = 'outbox_admin'";
    assert_eq!(outbox.count(reasons, &[]).await?, 30);
    let audit = console.page("/audit").await?;
    ensure!(audit.contains("the queue is bound"), "{audit}");
    Ok(())
}

#[tokio::test]
async fn a_stale_count_changes_nothing_and_the_same_form_works_once() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 4).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let form = console.form(&format!("/confirm/retry?fingerprint={NO_QUEUE}")).await?;
    outbox
        .sql
        .execute(
            "UPDATE outbox SET error_fingerprint = $1 WHERE id = (SELECT min(id) FROM outbox)",
            &[&TOO_LONG],
        )
        .await?;
    let ended = console.operate(&form).await?;
    assert_eq!(ended["state"], "failed", "{ended}");
    ensure!(ended["errors"].to_string().contains("3 events match, not 4"), "{ended}");
    assert_eq!(outbox.count(DUE, &[]).await?, 0);

    let form = console.form(&format!("/confirm/retry?fingerprint={NO_QUEUE}")).await?;
    let (one, other) = tokio::join!(
        console.post("/operations", &form, &[]),
        console.post("/operations", &form, &[])
    );
    let (one, other) = (one?, other?);
    assert_eq!((one.status, other.status), (StatusCode::SEE_OTHER, StatusCode::SEE_OTHER));
    assert_eq!(one.headers["location"], other.headers["location"], "they are one operation");
    let retried = "SELECT count(*) FROM outbox_audit WHERE action = 'retry'";
    eventually("it is done", async || Ok(outbox.count(retried, &[]).await? > 0)).await?;
    console.operate(&form).await?;
    assert_eq!(outbox.count(retried, &[]).await?, 3);
    // The number of an operation stands for what it was begun with.
    let other = console.post("/operations", &with(&form, "reason", "another"), &[]).await?;
    assert_eq!(other.status, StatusCode::BAD_REQUEST, "{}", other.text);
    Ok(())
}

#[tokio::test]
async fn to_destroy_needs_a_reason_and_many_need_their_number() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 101).await?;
    let console = Console::start(&outbox, None, &[("CONSOLE_ENVIRONMENT", "production")]).await?;
    let confirm = format!("/confirm/discard?fingerprint={NO_QUEUE}");
    let page = console.page(&confirm).await?;
    ensure!(page.contains("Discard 101 events in <bdi>production</bdi>?"), "{page}");
    let form = console.form(&confirm).await?;
    let with_reason = with(&form, "reason", "test orders");
    for (form, said) in [
        (form.clone(), "Type the number 101 to go on."),
        (with(&form, "typed", "101"), "Give a reason"),
        (with(&with_reason, "typed", "100"), "Type the number 101 to go on."),
    ] {
        let refused = console.post("/operations", &form, &[]).await?;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        ensure!(refused.text.contains(said), "{said}: {}", refused.text);
    }
    // Named one by one they are as many.
    let ids = "SELECT string_agg(event_id::text, ' ') FROM outbox";
    let ids: String = outbox.sql.query_one(ids, &[]).await?.get(0);
    let ids = ids.split(' ').map(|id| ("event_id".to_owned(), id.to_owned()));
    let fields = [
        ("action", "forget"),
        ("operation", "0190163d-8694-739b-aea5-966c26f8ad91"),
        ("reason", "x"),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let named: Vec<_> = fields.into_iter().chain(ids).collect();
    let refused = console.post("/operations", &named, &[]).await?;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    ensure!(refused.text.contains("Type the number 101 to go on."), "{}", refused.text);
    assert_eq!(outbox.count("SELECT count(*) FROM outbox", &[]).await?, 101);
    let ended = console.operate(&with(&with_reason, "typed", "101")).await?;
    assert_eq!(ended["state"], "done", "{ended}");
    assert_eq!(outbox.count("SELECT count(*) FROM outbox", &[]).await?, 0);
    Ok(())
}

#[tokio::test]
async fn an_event_is_edited_digit_by_digit_and_retried() -> Tested {
    let outbox = Outbox::new().await?;
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at, last_error)
                  VALUES ('order', '7', 'order.created', '{\"price\": 12345678901234567890.10, \"lines\": [1, 2]}', 1, 'infinity', 'x')
                  RETURNING event_id::text";
    let event_id: String = outbox.sql.query_one(insert, &[]).await?.get(0);
    let console = Console::start(&outbox, None, &[]).await?;
    let confirm = format!("/confirm/edit?event_id={event_id}");
    let page = console.json(&confirm).await?;
    let payload = page["inputs"][0]["value"].as_str().unwrap_or_default().to_owned();
    ensure!(payload.contains("12345678901234567890.10"), "{payload}");
    let form = console.form(&confirm).await?;
    let edited = payload.replace("[\n    1,", "[\n    3,");
    let form = with(&with(&form, "payload", &edited), "reason", "a wrong line");
    let ended = console.operate(&with(&form, "retry", "true")).await?;
    assert_eq!(ended["state"], "done", "{ended}");
    let now = "SELECT payload::text FROM outbox WHERE next_attempt_at <> 'infinity'";
    let now: String = outbox.sql.query_one(now, &[]).await?.get(0);
    assert_eq!(now, r#"{"lines": [3, 2], "price": 12345678901234567890.10}"#);
    Ok(())
}

#[tokio::test]
async fn who_edits_second_is_told_so_and_keeps_what_they_typed() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 1).await?;
    let event_id = outbox.sql.query_one("SELECT event_id::text FROM outbox", &[]).await?;
    let event_id: String = event_id.get(0);
    let letters = desk.add_rows(1, Rows::default()).await?;
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    for (confirm, name, id) in [
        (format!("/confirm/edit?event_id={event_id}"), "payload", OTHER_FORM[0]),
        (format!("/confirm/edit-letter?id={}", letters[0]), "body", OTHER_FORM[1]),
    ] {
        let form = with(&console.form(&confirm).await?, "reason", "a wrong number");
        let (one, other) = (with(&form, name, "{\"n\": 7}"), with(&form, name, "{\"n\": 8}"));
        let other = with(&other, "operation", id);
        assert_eq!(console.operate(&one).await?["state"], "done");
        let ended = console.operate(&other).await?;
        assert_eq!((&ended["state"], &ended["typed"]), (&json!("failed"), &json!("{\"n\": 8}")));
        ensure!(
            ended["errors"].to_string().contains("somebody else changed it meanwhile"),
            "{ended}"
        );
        let again = ended["again"].as_str().unwrap_or_default();
        let page = console.json(again).await?;
        assert_eq!(
            (&page["inputs"][0]["value"], &page["reason"]),
            (&json!("{\"n\": 8}"), &json!("a wrong number"))
        );
        let now = page["inputs"][0]["now"].as_str().unwrap_or_default();
        ensure!(now.contains("\"n\": 7"), "{page}");
        let form = with(&console.form(again).await?, "reason", "a wrong number");
        let ended = console.operate(&with(&form, name, "{\"n\": 8}")).await?;
        assert_eq!((&ended["state"], &ended["typed"]), (&json!("done"), &json!(null)), "{ended}");
    }
    Ok(())
}

#[tokio::test]
async fn a_type_is_paused_and_resumed() -> Tested {
    let outbox = Outbox::new().await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let form = console.form("/confirm/pause?type=order.created").await?;
    let form = with(&with(&form, "reason", "a bad deployment"), "for", "30m");
    let ended = console.operate(&form).await?;
    assert_eq!(ended["state"], "done", "{ended}");
    let pauses = console.json("/pauses").await?;
    assert_eq!(pauses["pauses"][0]["event_type"], "order.created", "{pauses}");
    let form =
        console.form(&format!("/confirm/resume?pause_id={}", pauses["pauses"][0]["id"])).await?;
    let ended = console.operate(&form).await?;
    assert_eq!(ended["state"], "done", "{ended}");
    assert_eq!(console.json("/pauses").await?["pauses"], json!([]));
    Ok(())
}

#[tokio::test]
async fn dead_letters_are_noted_edited_returned_and_discarded() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    let letters = desk.add_rows(12, Rows::default()).await?;
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    let id = letters[0];
    let form = console.form(&format!("/confirm/note?id={id}")).await?;
    let ended = console.operate(&with(&form, "text", "asked the team")).await?;
    assert_eq!(ended["state"], "done", "{ended}");
    let form = console.form(&format!("/confirm/edit-letter?id={id}")).await?;
    let form = with(&with(&form, "body", "{\"n\": 100}"), "reason", "a wrong number");
    let ended = console.operate(&form).await?;
    assert_eq!(ended["state"], "done", "{ended}");
    let page = console.page(&format!("/dead-letters/{id}")).await?;
    ensure!(page.contains("asked the team") && page.contains("100"), "{page}");
    let form = console.form("/confirm/discard-letters?error=customer%2012").await?;
    let ended = console.operate(&with(&form, "reason", "a test")).await?;
    assert_eq!(ended["state"], "done", "{ended}");
    let form = console.form("/confirm/return?fingerprint=00000000000000aa").await?;
    let ended = console.operate(&form).await?;
    assert_eq!(ended["state"], "done", "{ended}");
    assert_eq!((desk.in_state("returned").await?, desk.in_state("discarded").await?), (11, 1));
    assert_eq!(desk.take_all(HOME).await?.len(), 11);
    Ok(())
}

#[tokio::test]
async fn a_console_that_stops_tells_its_changes_to_stop() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 3).await?;
    let console = Console::start(&outbox, None, &[("SHUTDOWN_GRACE", "60s")]).await?;
    let form = console.form(&format!("/confirm/retry?fingerprint={NO_QUEUE}")).await?;
    let locker = connect(&outbox.database.url).await?;
    locker.batch_execute("BEGIN; LOCK TABLE outbox IN SHARE MODE").await?;
    let begun = console.post("/operations", &form, &[]).await?;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.text);
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE application_name = 'outbox command retry' AND wait_event_type = 'Lock' AND datname = current_database()";
    eventually("the change waits", async || Ok(outbox.count(waits, &[]).await? == 1)).await?;
    console.process.sigterm()?;
    let stopped = console.process.wait_exit(PATIENCE).await?;
    ensure!(stopped.success(), "{stopped}: {}", console.process.log());
    locker.batch_execute("ROLLBACK").await?;
    assert_eq!(outbox.count(DUE, &[]).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_part_that_is_down_is_named_and_the_others_work() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    desk.add_rows(1, Rows::default()).await?;
    let gone = [("DATABASE_URL", "postgres://nobody:secret@127.0.0.1:1/none")];
    let console = Console::start(&outbox, Some(&desk), &gone).await?;
    let broken = console.get("/events").await?;
    assert_eq!(broken.status, StatusCode::SERVICE_UNAVAILABLE, "{}", broken.text);
    ensure!(broken.text.contains("the database can&#x27;t be reached"), "{}", broken.text);
    ensure!(!broken.text.contains("secret"), "{}", broken.text);
    ensure!(
        console.page("/dead-letters").await?.contains("customer 1 is unknown"),
        "they are there"
    );
    Ok(())
}

#[tokio::test]
async fn an_event_that_is_pruned_but_was_edited_is_forgotten() -> Tested {
    let outbox = Outbox::new().await?;
    let event_id = "0190163d-8694-739b-aea5-966c26f8ad91";
    let audit = "INSERT INTO outbox_audit (actor, action, event_id, event)
                 VALUES ('alice', 'edit', $1::text::uuid, '{\"payload\": {\"name\": \"a person\"}}')";
    outbox.sql.execute(audit, &[&event_id]).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let confirm = format!("/confirm/forget?event_id={event_id}");
    let page = console.json(&confirm).await?;
    assert_eq!((&page["count"], &page["examples"]), (&json!(1), &json!([])));
    let form = console.form(&confirm).await?;
    let ended = console.operate(&with(&form, "reason", "request 4711")).await?;
    assert_eq!(ended["state"], "done", "{ended}");
    let kept = "SELECT count(*) FROM outbox_audit WHERE event::text LIKE '%a person%'";
    assert_eq!(outbox.count(kept, &[]).await?, 0);
    console.page(&format!("/confirm/restore?event_id={event_id}")).await?;
    let page = console.get(&format!("/confirm/edit?event_id={event_id}")).await?;
    assert_eq!(page.status, StatusCode::NOT_FOUND, "{}", page.text);
    for action in ["edit", "forget", "restore"] {
        let page = console.get(&format!("/confirm/{action}?event_id={}", OTHER_FORM[1])).await?;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{action}: {}", page.text);
        ensure!(page.text.contains("it never existed"), "{action}: {}", page.text);
    }
    Ok(())
}

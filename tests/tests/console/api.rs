//! Changes that programs ask the console for, and what each of them may do.

use anyhow::ensure;
use pipeline_tests::console::{Answer, Console};
use pipeline_tests::failed_events::{NO_QUEUE, TOO_LONG, add_failed};
use pipeline_tests::outbox::{Outbox, connect, eventually};
use pipeline_tests::temp_folder::TempFolder;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

type Tested = anyhow::Result<()>;

const DUE: &str = "SELECT count(*) FROM outbox WHERE next_attempt_at <> 'infinity'";

/// A program for each right.
const PROGRAMS: &str = "reader:viewer:the token of reader\nmender:operator:the token of mender\ndestroyer:admin:the token of destroyer\n";

/// Reads what a program gives with its change: how many match, up to which id.
async fn counted(console: &Console, query: &str) -> anyhow::Result<(Value, Value)> {
    let page = console.json(&format!("/confirm/{query}")).await?;
    Ok((page["count"].clone(), page["up_to_id"].clone()))
}

/// Fails unless an answer is a problem with this status that says this.
fn problem(answer: &Answer, status: StatusCode, said: &str) -> Tested {
    ensure!(answer.status == status, "{said}: {} {}", answer.status, answer.text);
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{}", answer.text);
    let body = answer.json()?;
    assert_eq!(body["status"], status.as_u16(), "{body}");
    ensure!(body["detail"].to_string().contains(said), "{said}: {body}");
    Ok(())
}

#[tokio::test]
async fn a_program_changes_what_it_has_counted_and_is_told_how_that_ended() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 4).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let (expect, up_to_id) = counted(&console, &format!("retry?fingerprint={NO_QUEUE}")).await?;
    let body = json!({
        "action": "retry", "fingerprint": NO_QUEUE, "expect": expect, "up_to_id": up_to_id,
        "reason": "the queue is bound", "operation": "0190163d-8694-739b-aea5-966c26f8ad91",
    });
    // It is begun, and waits.
    let locker = connect(&outbox.database.url).await?;
    locker.batch_execute("BEGIN; LOCK TABLE outbox IN SHARE MODE").await?;
    let begun = console.post_json("/api/operations", &body, &[]).await?;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.text);
    let path = "/api/operations/0190163d-8694-739b-aea5-966c26f8ad91";
    assert_eq!(begun.headers["location"], path);
    assert_eq!(begun.json()?["state"], "running");
    let waited = console.post_json("/api/operations?wait=1", &body, &[]).await?;
    assert_eq!(waited.status, StatusCode::ACCEPTED, "{}", waited.text);
    // The same operation, and its end.
    let ended = async { console.post_json("/api/operations?wait=999", &body, &[]).await };
    let (ended, unlocked) = tokio::join!(ended, locker.batch_execute("ROLLBACK"));
    let ended = ended?;
    unlocked?;
    assert_eq!(ended.status, StatusCode::OK, "{}", ended.text);
    let ended = ended.json()?;
    assert_eq!((&ended["state"], &ended["result"]["retried"]), (&json!("done"), &json!(4)));
    assert_eq!(console.json("/operations/0190163d-8694-739b-aea5-966c26f8ad91").await?, ended);
    let audited = "SELECT count(*) FROM outbox_audit WHERE reason = 'the queue is bound'";
    assert_eq!(outbox.count(audited, &[]).await?, 4);
    Ok(())
}

#[tokio::test]
async fn a_stale_count_is_a_conflict_and_changes_nothing() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 101).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let (expect, up_to_id) = counted(&console, &format!("discard?fingerprint={NO_QUEUE}")).await?;
    let discard = |expect: &Value| {
        json!({
            "action": "discard", "fingerprint": NO_QUEUE, "expect": expect, "up_to_id": up_to_id,
            "reason": "test orders",
        })
    };
    let stale = console.post_json("/api/operations?wait=30", &discard(&json!(100)), &[]).await?;
    assert_eq!(stale.status, StatusCode::CONFLICT, "{}", stale.text);
    let stale = stale.json()?;
    assert_eq!(stale["state"], "failed", "{stale}");
    ensure!(stale["errors"].to_string().contains("101 events match, not 100"), "{stale}");
    assert_eq!(outbox.count("SELECT count(*) FROM outbox", &[]).await?, 101);
    // More than a person may without typing their number.
    let done = console.post_json("/api/operations?wait=30", &discard(&expect), &[]).await?;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    assert_eq!(outbox.count("SELECT count(*) FROM outbox", &[]).await?, 0);
    Ok(())
}

#[tokio::test]
async fn what_a_program_gets_wrong_is_a_problem_that_names_it() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 3).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let operations = "/api/operations";
    for (path, body, said) in [
        (operations, json!({}), "`action` must be one of retry, discard"),
        (operations, json!({"action": "retry", "stuck": true}), "`expect` is missing"),
        (operations, json!({"action": "retry", "stuk": true}), "`stuk` is no field of retry"),
        (operations, json!({"action": "forget", "event_id": "x"}), "`reason` is missing"),
        ("/api/operations?wait=soon", json!({}), "wait=soon is no number of seconds"),
    ] {
        let refused = console.post_json(path, &body, &[]).await?;
        problem(&refused, StatusCode::BAD_REQUEST, said)?;
    }
    let two = json!({"action": "retry", "stuck": true, "colour": "red"});
    let errors = console.post_json(operations, &two, &[]).await?.json()?["errors"].clone();
    assert_eq!(errors.as_array().map(Vec::len), Some(3), "{errors}");
    // Values that the command would refuse are named with the other faults.
    let kind = json!({"action": "retry", "kind": "x", "since": "soon", "up_to_id": "y"});
    let errors = console.post_json(operations, &kind, &[]).await?.json()?["errors"].clone();
    assert_eq!(errors.as_array().map(Vec::len), Some(4), "{errors}");
    for said in ["`kind` is “x”", "`since` is “soon”", "`up_to_id` is “y”", "`expect` is missing"]
    {
        ensure!(errors.to_string().contains(said), "{said}: {errors}");
    }
    for (path, status) in [
        ("/api/nowhere", StatusCode::NOT_FOUND),
        ("/api/events?kind=x", StatusCode::BAD_REQUEST),
        ("/api/events/0190163d-8694-739b-aea5-966c26f8ad91", StatusCode::NOT_FOUND),
    ] {
        problem(&console.get(path).await?, status, "")?;
    }
    // What is remembered, and given to a command, is short.
    let long = json!({"action": "retry", "type": "x".repeat(1001), "expect": 1, "up_to_id": 9});
    let refused = console.post_json(operations, &long, &[]).await?;
    problem(&refused, StatusCode::BAD_REQUEST, "`type` is longer than 1000 characters")?;
    problem(&console.get("/api/events?type=%00").await?, StatusCode::BAD_REQUEST, "NUL")?;
    let foreign = [("origin", "https://evil.example")];
    let refused = console.post_json(operations, &kind, &foreign).await?;
    problem(&refused, StatusCode::FORBIDDEN, "Another site's page")?;
    assert_eq!(outbox.count(DUE, &[]).await?, 0);
    Ok(())
}

#[tokio::test]
async fn each_program_reads_mends_or_destroys_as_its_token_says() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 2).await?;
    add_failed(&outbox, "order.created", ["returned", TOO_LONG], 2).await?;
    let folder = TempFolder::new()?;
    let users = folder.write("users", PROGRAMS)?;
    // Beside people with passwords, and alone.
    for kind in ["basic", "token"] {
        let settings = [("CONSOLE_AUTH", kind), ("CONSOLE_USERS_FILE", users.as_str())];
        let console = Console::start(&outbox, None, &settings).await?;
        problem(&console.get("/api/events").await?, StatusCode::UNAUTHORIZED, "Log in first")?;
        let wrong = [("authorization", "Bearer nobody's")];
        let refused = console.get_with("/api/events", &wrong).await?;
        problem(&refused, StatusCode::UNAUTHORIZED, "is wrong")?;
        let (lowest, text) = ("SELECT min(id) FROM outbox", "SELECT event_id::text FROM outbox");
        let event = outbox.sql.query_one(&format!("{text} WHERE id = ({lowest})"), &[]).await?;
        let event_id: String = event.get(0);
        let retry = json!({"action": "retry", "event_id": event_id});
        let discard = json!({"action": "discard", "event_id": event_id, "reason": "a test"});
        for (program, may_retry, may_discard) in [
            ("reader", Err("This needs the rights of operator"), Err("the rights of operator")),
            ("mender", Ok(()), Err("This needs the rights of admin; mender has those of operator")),
            ("destroyer", Ok(()), Ok(())),
        ] {
            let token = format!("Bearer the token of {program}");
            let login = [("authorization", token.as_str())];
            assert_eq!(console.get_with("/api/events", &login).await?.status, StatusCode::OK);
            for (body, may) in [(&retry, may_retry), (&discard, may_discard)] {
                let answer = console.post_json("/api/operations?wait=30", body, &login).await?;
                match may {
                    Ok(()) => {
                        assert_ne!(answer.json()?["state"], "running", "{}", answer.text);
                        assert_eq!(answer.json()?["by"], program, "{}", answer.text);
                    }
                    Err(said) => problem(&answer, StatusCode::FORBIDDEN, said)?,
                }
            }
        }
        let gone = format!("SELECT count(*) FROM outbox WHERE event_id = '{event_id}'");
        eventually("it is discarded", async || Ok(outbox.count(&gone, &[]).await? == 0)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn another_method_is_refused_with_those_of_the_path() -> Tested {
    let outbox = Outbox::new().await?;
    let console = Console::start(&outbox, None, &[]).await?;
    for (method, path, allowed) in [
        (Method::OPTIONS, "/api", "GET, HEAD"),
        (Method::DELETE, "/api/events", "GET, HEAD"),
        (Method::PUT, "/api/operations", "POST"),
        (Method::GET, "/api/operations", "POST"),
    ] {
        let url = format!("{}{path}", console.url);
        let answer = stack::http_client()?.request(method.clone(), url).send().await?;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert_eq!(answer.headers()["allow"], allowed, "{method} {path}");
    }
    Ok(())
}

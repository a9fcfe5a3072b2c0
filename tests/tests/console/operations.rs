//! Changes that take long: how far they are, and how they are stopped.

use anyhow::{Context as _, ensure};
use pipeline_tests::console::Console;
use pipeline_tests::failed_events::{NO_QUEUE, add_failed};
use pipeline_tests::outbox::{Outbox, eventually};
use pipeline_tests::temp_folder::TempFolder;
use reqwest::StatusCode;
use serde_json::{Value, json};

type Tested = anyhow::Result<()>;

const EVENTS: i64 = 9000;
const REASON: &str = "what only the audit table has to know";
const DUE: &str = "SELECT count(*) FROM outbox WHERE next_attempt_at <> 'infinity'";

/// Makes each batch of a change take a while.
const SLOW_BATCHES: &str = "
    CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.7); RETURN NULL; END $$;
    CREATE TRIGGER take_long AFTER UPDATE ON outbox FOR EACH STATEMENT EXECUTE FUNCTION take_long()";

/// Begins to retry all events, and returns the operation's path.
async fn begin_retry(console: &Console) -> anyhow::Result<String> {
    let mut form = console.form(&format!("/confirm/retry?fingerprint={NO_QUEUE}")).await?;
    form.push(("reason".to_owned(), REASON.to_owned()));
    let begun = console.post("/operations", &form, &[]).await?;
    ensure!(begun.status == StatusCode::SEE_OTHER, "{}", begun.text);
    Ok(begun.headers.get("location").context("it leads on")?.to_str()?.to_owned())
}

/// How the programs of this machine were called that run now.
fn calls() -> anyhow::Result<Vec<String>> {
    let processes = std::fs::read_dir("/proc")?.filter_map(Result::ok);
    // One that has ended meanwhile has no such file.
    let calls = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    Ok(calls.map(|call| String::from_utf8_lossy(&call).into_owned()).collect())
}

fn stop(path: &str) -> Vec<(String, String)> {
    let id = path.rsplit('/').next().unwrap_or_default();
    [("action", "stop"), ("operation", id)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

async fn ended(console: &Console, path: &str) -> anyhow::Result<Value> {
    eventually("it has ended", async || Ok(console.json(path).await?["state"] != "running"))
        .await?;
    console.json(path).await
}

#[tokio::test]
async fn a_long_change_says_how_far_it_is_and_a_stopped_one_what_it_has_done() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], EVENTS).await?;
    outbox.sql.batch_execute(SLOW_BATCHES).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let path = begin_retry(&console).await?;
    let has_begun = async || Ok(console.json(&path).await?["done"].is_u64());
    eventually("it says how far it is", has_begun).await?;
    let shown = console.json(&path).await?;
    ensure!(shown["state"] == "running" && shown["total"] == EVENTS, "{shown}");
    let page = console.page(&path).await?;
    ensure!(
        page.contains(",000 of 9,000 events.") && page.contains("<progress max=\"9000\""),
        "{page}"
    );
    ensure!(page.contains("http-equiv=\"refresh\""), "it is drawn anew without a script: {page}");
    ensure!(page.contains("<button class=\"is-danger\">Stop</button>"), "{page}");

    // Any user of the machine can read how a program was called.
    let calls = calls()?;
    ensure!(
        calls.iter().any(|call| call.contains(&format!("--fingerprint={NO_QUEUE}"))),
        "{calls:?}"
    );
    ensure!(!calls.iter().any(|call| call.contains(REASON)), "{calls:?}");

    let told = console.post("/operations", &stop(&path), &[]).await?;
    assert_eq!(told.status, StatusCode::SEE_OTHER, "{}", told.text);
    let ended = ended(&console, &path).await?;
    assert_eq!(ended["state"], "stopped", "{ended}");
    let retried = ended["result"]["retried"].as_i64().context("it says how many")?;
    ensure!((2000..EVENTS).contains(&retried), "{ended}");
    assert_eq!(outbox.count(DUE, &[]).await?, retried);
    let reasons = format!("SELECT count(*) FROM outbox_audit WHERE reason = '{REASON}'");
    assert_eq!(outbox.count(&reasons, &[]).await?, retried);
    let said = format!("stopped; {retried} events were made due before");
    ensure!(ended["errors"].to_string().contains(&said), "{ended}");
    ensure!(!ended["errors"].to_string().contains("progress"), "{ended}");
    Ok(())
}

#[tokio::test]
async fn what_has_ended_is_not_stopped_any_more() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 2).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let retry = json!({
        "action": "retry", "fingerprint": NO_QUEUE, "expect": 7, "up_to_id": 9,
        "operation": "0190163d-8694-739b-aea5-966c26f8ad91",
    });
    let failed = console.post_json("/api/operations?wait=30", &retry, &[]).await?;
    assert_eq!(failed.status, StatusCode::CONFLICT, "{}", failed.text);
    let stop = json!({"action": "stop", "operation": retry["operation"]});
    let late = console.post_json("/api/operations?wait=1", &stop, &[]).await?;
    let report = late.json()?;
    assert_eq!((&report["state"], &report["is_stopping"]), (&json!("failed"), &json!(false)));
    Ok(())
}

#[tokio::test]
async fn a_change_is_stopped_by_who_began_it_or_may_destroy_and_by_nobody_else() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], EVENTS).await?;
    outbox.sql.batch_execute(SLOW_BATCHES).await?;
    let folder = TempFolder::new()?;
    let users = folder.write("users", "carol:admin\n")?;
    let settings = [
        ("CONSOLE_AUTH", "proxy"),
        ("CONSOLE_USER_HEADER", "X-User"),
        ("CONSOLE_TRUSTED_PROXIES", "127.0.0.1"),
        ("CONSOLE_RIGHTS", "operator"),
        ("CONSOLE_USERS_FILE", users.as_str()),
    ];
    let console = Console::start(&outbox, None, &settings).await?;
    let (alice, bob) = ([("X-User", "alice")], [("X-User", "bob")]);
    let confirm = format!("/api/confirm/retry?fingerprint={NO_QUEUE}");
    let shown = console.get_with(&confirm, &alice).await?;
    let form = Console::fields(&serde_json::from_str(&shown.text)?)?;
    let begun = console.post("/operations", &form, &alice).await?;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.text);
    let path = begun.headers["location"].to_str()?.to_owned();
    let refused = console.post("/operations", &stop(&path), &bob).await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    let state = async || {
        let answer = console.get_with(&format!("/api{path}"), &alice).await?;
        Ok::<Value, anyhow::Error>(serde_json::from_str(&answer.text)?)
    };
    assert_eq!(state().await?["is_stopping"], false);
    let told = console.post("/operations", &stop(&path), &[("X-User", "carol")]).await?;
    assert_eq!(told.status, StatusCode::SEE_OTHER, "{}", told.text);
    eventually("it has ended", async || Ok(state().await?["state"] != "running")).await?;
    let ended = state().await?;
    assert_eq!(ended["state"], "stopped", "{ended}");
    ensure!(outbox.count(DUE, &[]).await? < EVENTS, "{ended}");
    Ok(())
}

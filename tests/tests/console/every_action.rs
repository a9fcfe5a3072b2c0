//! Every action of the console: a form whose count is stale changes nothing, and one that is sent
//! twice at once is done once.

use anyhow::{Context as _, ensure};
use pipeline_tests::console::Console;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::Rows;
use pipeline_tests::outbox::{Outbox, eventually};
use reqwest::StatusCode;
use tokio_postgres::Client;

type Tested = anyhow::Result<()>;

/// An action, what its page is asked with, and what a person fills in.
struct Case<'a> {
    action: &'a str,
    query: String,
    filled: &'a [(&'a str, &'a str)],
}

/// The rows that a table of the audit has of an action.
struct Audited<'a> {
    sql: &'a Client,
    table: &'a str,
    action: &'a str,
}

impl Audited<'_> {
    /// How many operations the audit has of the action.
    async fn operations(&self) -> anyhow::Result<i64> {
        let Self { table, action, .. } = self;
        let count =
            format!("SELECT count(DISTINCT operation_id) FROM {table} WHERE action = '{action}'");
        Ok(self.sql.query_one(&count, &[]).await?.get(0))
    }
}

impl Case<'_> {
    async fn form(&self, console: &Console) -> anyhow::Result<Vec<(String, String)>> {
        let mut form = console.form(&format!("/confirm/{}?{}", self.action, self.query)).await?;
        let filled = self.filled.iter().chain(&[("reason", "a test")]);
        form.extend(filled.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Ok(form)
    }

    /// Sends a form after `change`, by which another number matches.
    async fn is_stale_after(
        &self,
        console: &Console,
        audited: &Audited<'_>,
        change: &str,
    ) -> Tested {
        let form = self.form(console).await?;
        let changed = audited.sql.execute(change, &[]).await?;
        assert_eq!(changed, 1, "{change}");
        let ended = console.operate(&form).await?;
        ensure!(ended["state"] == "failed", "{}: {ended}", self.action);
        ensure!(ended["errors"].to_string().contains("nothing was changed"), "{ended}");
        assert_eq!(audited.operations().await?, 0, "{}", self.action);
        Ok(())
    }

    /// Sends a form twice at once, and then once more.
    async fn is_done_once(&self, console: &Console, audited: &Audited<'_>) -> Tested {
        let form = self.form(console).await?;
        let (one, other) = tokio::join!(
            console.post("/operations", &form, &[]),
            console.post("/operations", &form, &[])
        );
        let (one, other) = (one?, other?);
        let action = self.action;
        ensure!(one.status == StatusCode::SEE_OTHER, "{action}: {}", one.text);
        assert_eq!(one.headers["location"], other.headers["location"], "{action}");
        let path = one.headers["location"].to_str()?;
        let ended = async || Ok(console.json(path).await?["state"] != "running");
        eventually("the operation ended", ended).await?;
        let ended = console.operate(&form).await?;
        ensure!(ended["state"] == "done", "{action}: {ended}");
        assert_eq!(audited.operations().await?, 1, "{action}: {ended}");
        Ok(())
    }
}

/// Adds two events of a type: failed ones, or published ones.
async fn add(outbox: &Outbox, event_type: &str, is_published: bool) -> Tested {
    let (published, failed) = match is_published {
        true => ("now()", "0, NULL, NULL"),
        false => ("NULL", "1, 'infinity', 'a reason'"),
    };
    let insert = format!(
        "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, published_at, attempts, next_attempt_at, last_error)
         SELECT 'thing', '{event_type} ' || i, '{event_type}', '{{\"a\": 1}}', {published}, {failed} FROM generate_series(1, 2) AS i"
    );
    outbox.sql.execute(&insert, &[]).await?;
    Ok(())
}

/// The id of the first event of a type.
async fn first(outbox: &Outbox, event_type: &str) -> anyhow::Result<String> {
    let find = "SELECT event_id::text FROM outbox WHERE event_type = $1 ORDER BY id LIMIT 1";
    let row = outbox.sql.query_opt(find, &[&event_type]).await?;
    Ok(row.with_context(|| format!("an event {event_type}"))?.get(0))
}

#[tokio::test]
async fn events_are_changed_as_they_were_counted_and_once() -> Tested {
    let outbox = Outbox::new().await?;
    outbox.queue("things", "thing.#").await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let audited = |action| Audited { sql: &outbox.sql, table: "outbox_audit", action };
    for (action, is_published) in [("retry", false), ("discard", false), ("replay", true)] {
        let event_type = format!("thing.{action}");
        add(&outbox, &event_type, is_published).await?;
        let case = Case { action, query: format!("type={event_type}"), filled: &[] };
        let leaves = format!(
            "UPDATE outbox SET event_type = 'thing.other' WHERE event_id = '{}'",
            first(&outbox, &event_type).await?
        );
        case.is_stale_after(&console, &audited(action), &leaves).await?;
        case.is_done_once(&console, &audited(action)).await?;
    }
    let discarded = "SELECT event_id::text FROM outbox_audit WHERE action = 'discard'";
    let discarded: String = outbox.sql.query_one(discarded, &[]).await?.get(0);
    let restore = Case { action: "restore", query: format!("event_id={discarded}"), filled: &[] };
    restore.is_done_once(&console, &audited("restore")).await?;

    add(&outbox, "thing.edit", false).await?;
    let event_id = first(&outbox, "thing.edit").await?;
    let query = format!("event_id={event_id}");
    let edit = Case { action: "edit", query, filled: &[("payload", r#"{"a": 2}"#)] };
    edit.is_done_once(&console, &audited("edit")).await?;
    add(&outbox, "thing.forget", true).await?;
    let event_id = first(&outbox, "thing.forget").await?;
    let forget = Case { action: "forget", query: format!("event_id={event_id}"), filled: &[] };
    forget.is_done_once(&console, &audited("forget")).await?;

    let pause = Case { action: "pause", query: "type=thing.paused".to_owned(), filled: &[] };
    pause.is_done_once(&console, &audited("pause")).await?;
    let pause_id = "SELECT id FROM outbox_pauses";
    let pause_id: i64 = outbox.sql.query_one(pause_id, &[]).await?.get(0);
    let resume = Case { action: "resume", query: format!("pause_id={pause_id}"), filled: &[] };
    resume.is_done_once(&console, &audited("resume")).await
}

#[tokio::test]
async fn headers_are_edited_once() -> Tested {
    let outbox = Outbox::new().await?;
    add(&outbox, "thing.edit", false).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let query = format!("event_id={}", first(&outbox, "thing.edit").await?);
    let edit = Case { action: "edit-headers", query, filled: &[("headers", r#"{"b": "c"}"#)] };
    let audited = Audited { sql: &outbox.sql, table: "outbox_audit", action: "edit" };
    edit.is_done_once(&console, &audited).await
}

#[tokio::test]
async fn dead_letters_are_changed_as_they_were_counted_and_once() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    for (action, audit, filled) in [
        ("note", "note", &[("text", "seen")][..]),
        ("return", "return", &[]),
        ("discard-letters", "discard", &[]),
        ("forget-letters", "forget", &[]),
    ] {
        let event_type = format!("thing.{action}");
        let rows = Rows { event_type: &event_type, ..Rows::default() };
        let ids = desk.add_rows(2, rows).await?;
        if action == "forget-letters" {
            // Open ones are refused.
            let [one, other] = [ids[0].to_string(), ids[1].to_string()];
            let settled = desk.command(&["discard", &one, &other, "--reason", "a test"]).await?;
            ensure!(settled.code == Some(0), "{settled:?}");
        }
        let audited = Audited { sql: &desk.sql, table: "dead_letters_audit", action: audit };
        let case = Case { action, query: format!("type={event_type}"), filled };
        let leaves =
            format!("UPDATE dead_letters SET event_type = 'thing.other' WHERE id = {}", ids[0]);
        case.is_stale_after(&console, &audited, &leaves).await?;
        case.is_done_once(&console, &audited).await?;
    }
    let id = desk.add_rows(1, Rows::default()).await?[0];
    let audited = Audited { sql: &desk.sql, table: "dead_letters_audit", action: "edit" };
    let edit = Case { action: "edit-letter", query: format!("id={id}"), filled: &[("body", "x")] };
    edit.is_done_once(&console, &audited).await
}

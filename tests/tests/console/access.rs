//! Who may use the console, and what a foreign page can't make a browser do.

use anyhow::ensure;
use pipeline_tests::console::Console;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::Rows;
use pipeline_tests::failed_events::{NO_QUEUE, add_failed};
use pipeline_tests::outbox::Outbox;
use pipeline_tests::relay_command::outbox_relay;
use pipeline_tests::temp_folder::TempFolder;
use reqwest::StatusCode;
use serde_json::Value;

type Tested = anyhow::Result<()>;

const DATABASE: (&str, &str) = ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");

/// `vera:the secret of vera` and so on, as RFC 7617 has it.
const VERA: &str = "Basic dmVyYTp0aGUgc2VjcmV0IG9mIHZlcmE=";
const WRONG: &str = "Basic dmVyYTp3cm9uZw==";

const USERS: &str = "vera:viewer:the secret of vera\nolga:operator:the secret of olga\n";

/// All that the console could change.
async fn everything(outbox: &Outbox, desk: &DeadLetterQueue) -> anyhow::Result<Vec<Value>> {
    let of = |table: &str| {
        format!("SELECT coalesce(jsonb_agg(t ORDER BY t::text), '[]') FROM {table} t")
    };
    let mut all = Vec::new();
    for table in ["outbox", "outbox_audit", "outbox_pauses"] {
        all.push(outbox.sql.query_one(&of(table), &[]).await?.get(0));
    }
    for table in ["dead_letters", "dead_letters_audit"] {
        all.push(desk.sql.query_one(&of(table), &[]).await?.get(0));
    }
    Ok(all)
}

#[tokio::test]
async fn a_port_that_others_can_reach_needs_logins() -> Tested {
    for (settings, said) in [
        (
            vec![("CONSOLE_ADDR", "0.0.0.0:0")],
            "error: CONSOLE_ADDR=0.0.0.0:0 can be reached from other machines: set CONSOLE_AUTH to basic, token or proxy\n",
        ),
        (
            vec![("CONSOLE_AUTH", "basic")],
            "error: CONSOLE_AUTH needs CONSOLE_USERS_FILE: a file with a line NAME:RIGHTS:SECRET for each user\n",
        ),
        (
            vec![("CONSOLE_AUTH", "proxy"), ("CONSOLE_USER_HEADER", "x-user")],
            "error: CONSOLE_AUTH=proxy needs CONSOLE_TRUSTED_PROXIES: anybody else could send CONSOLE_USER_HEADER too\n",
        ),
    ] {
        let settings: Vec<_> = settings.into_iter().chain([DATABASE]).collect();
        let ended = outbox_relay(&["console"], &settings).await?;
        assert_eq!((ended.code, ended.err.as_str()), (Some(64), said));
    }
    Ok(())
}

#[tokio::test]
async fn a_file_of_users_that_cannot_be_used_ends_the_start_with_one_sentence() -> Tested {
    for (file, said) in [
        (
            "/nowhere/users",
            "error: CONSOLE_USERS_FILE /nowhere/users: No such file or directory (os error 2)\n",
        ),
        // It has no end.
        (
            "/dev/zero",
            "error: CONSOLE_USERS_FILE /dev/zero: it has more than the 1048576 bytes that are allowed\n",
        ),
        ("/etc/hostname", "error: CONSOLE_USERS_FILE /etc/hostname: line 1: "),
    ] {
        let settings = [DATABASE, ("CONSOLE_AUTH", "basic"), ("CONSOLE_USERS_FILE", file)];
        let ended = outbox_relay(&["console"], &settings).await?;
        assert_eq!(ended.code, Some(64), "{ended:?}");
        ensure!(ended.err.starts_with(said), "{ended:?}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_right_secret_there_is_nothing_to_see_and_few_attempts() -> Tested {
    let folder = TempFolder::new()?;
    let users = folder.write("users", USERS)?;
    let settings = [("CONSOLE_AUTH", "basic"), ("CONSOLE_USERS_FILE", users.as_str())];
    let console = Console::start(&Outbox::new().await?, None, &settings).await?;
    let login = |credentials: &'static str| [("authorization", credentials)];
    let absent = console.get("/events").await?;
    assert_eq!(absent.status, StatusCode::UNAUTHORIZED);
    assert_eq!(absent.headers["www-authenticate"], "Basic realm=\"outbox\"");
    assert_eq!(console.get_with("/events", &login(VERA)).await?.status, StatusCode::OK);
    let page = console.get_with("/about", &login(VERA)).await?.text;
    ensure!(page.contains("vera") && !page.contains("the secret of vera"), "{page}");
    for _ in 0..10 {
        let wrong = console.get_with("/events", &login(WRONG)).await?;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    }
    let late = console.get_with("/events", &login(VERA)).await?;
    assert_eq!(late.status, StatusCode::TOO_MANY_REQUESTS);
    ensure!(late.headers.contains_key("retry-after"), "{late:?}");
    ensure!(!console.process.log().contains("secret of"), "{}", console.process.log());
    Ok(())
}

#[tokio::test]
async fn a_proxys_header_is_believed_from_the_proxy_alone() -> Tested {
    let outbox = Outbox::new().await?;
    let named = [("x-user", "olga")];
    for (proxies, status) in
        [("127.0.0.0/8", StatusCode::OK), ("192.0.2.0/24", StatusCode::UNAUTHORIZED)]
    {
        let settings = [
            ("CONSOLE_AUTH", "proxy"),
            ("CONSOLE_USER_HEADER", "x-user"),
            ("CONSOLE_TRUSTED_PROXIES", proxies),
        ];
        let console = Console::start(&outbox, None, &settings).await?;
        assert_eq!(console.get_with("/", &named).await?.status, status, "{proxies}");
        assert_eq!(console.get("/").await?.status, StatusCode::UNAUTHORIZED, "{proxies}");
        let forwarded = [("x-user", "olga"), ("x-forwarded-host", "evil.example")];
        let refused = console.get_with("/", &forwarded).await?.status;
        assert_ne!(refused, StatusCode::OK, "{proxies}");
    }
    Ok(())
}

#[tokio::test]
async fn a_foreign_page_and_a_rebound_name_change_nothing() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 3).await?;
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    let form = console.form(&format!("/confirm/retry?fingerprint={NO_QUEUE}")).await?;
    let before = everything(&outbox, &desk).await?;
    for header in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let refused = console.post("/operations", &form, &[header]).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{header:?}");
    }
    let rebound = [("host", "evil.example")];
    let refused = console.post("/operations", &form, &rebound).await?;
    assert_eq!(refused.status, StatusCode::MISDIRECTED_REQUEST);
    let refused = console.get_with("/events", &rebound).await?;
    assert_eq!(refused.status, StatusCode::MISDIRECTED_REQUEST);
    ensure!(!refused.text.contains("order.created"), "{}", refused.text);
    assert_eq!(everything(&outbox, &desk).await?, before);
    // The same form, from the console's own page.
    let own = [("sec-fetch-site", "same-origin")];
    let begun = console.post("/operations", &form, &own).await?;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.text);
    Ok(())
}

#[tokio::test]
async fn a_viewer_changes_nothing_whatever_is_sent_to_the_port() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 1).await?;
    let letters = desk.add_rows(1, Rows::default()).await?;
    let event_id = "SELECT event_id::text FROM outbox";
    let event_id: String = outbox.sql.query_one(event_id, &[]).await?.get(0);
    let folder = TempFolder::new()?;
    let users = folder.write("users", USERS)?;
    let settings = [("CONSOLE_AUTH", "basic"), ("CONSOLE_USERS_FILE", users.as_str())];
    let console = Console::start(&outbox, Some(&desk), &settings).await?;
    let before = everything(&outbox, &desk).await?;
    let fields = [
        ("event_id", event_id.as_str()),
        ("id", &letters[0].to_string()),
        ("pause_id", "1"),
        ("reason", "mine"),
        ("text", "a note"),
        ("payload", "{}"),
        ("headers", "{}"),
        ("body", "x"),
        ("all", "true"),
        ("expect", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    for action in [
        "retry",
        "discard",
        "replay",
        "edit",
        "edit-headers",
        "restore",
        "forget",
        "pause",
        "resume",
        "return",
        "note",
        "edit-letter",
        "discard-letters",
        "forget-letters",
    ] {
        let operation = "0190163d-8694-739b-aea5-966c26f8ad91";
        let own = [("action", action), ("operation", operation)];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let form: Vec<_> = own.into_iter().chain(fields.clone()).collect();
        let refused = console.post("/operations", &form, &[("authorization", VERA)]).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{action}: {}", refused.text);
        ensure!(refused.text.contains("This needs the rights of"), "{action}: {}", refused.text);
    }
    assert_eq!(everything(&outbox, &desk).await?, before);
    // And it would not if the console let it: the commands take the viewer's role.
    let url = outbox.database.url_as("outbox_console").await?;
    let role = [("DATABASE_URL", url.as_str()), ("OUTBOX_ROLE", "outbox_viewer")];
    let refused = outbox_relay(&["retry", &event_id], &role).await?;
    ensure!(refused.code == Some(1), "{refused:?}");
    assert_eq!(everything(&outbox, &desk).await?, before);
    Ok(())
}

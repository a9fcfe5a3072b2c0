//! The pages of the console: each shows what its command prints, and text as text.

use anyhow::{Context as _, ensure};
use pipeline_tests::console::Console;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::Rows;
use pipeline_tests::failed_events::{NO_QUEUE, add_failed};
use pipeline_tests::outbox::{Outbox, eventually};
use reqwest::StatusCode;

type Tested = anyhow::Result<()>;

/// What would do harm if a page took it for markup.
const HOSTILE: &str = "</script><img src=x onerror=alert(1)>\"'&\u{202e}";

/// Every page that needs no id.
const PAGES: [&str; 17] = [
    "/",
    "/failures",
    "/events",
    "/events?state=pending",
    "/events?state=waiting",
    "/events?state=scheduled",
    "/events?state=stuck",
    "/events?state=parked",
    "/events?state=published",
    "/dead-letters",
    "/dead-letters?state=any",
    "/dead-letters/groups",
    "/pauses",
    "/relays",
    "/audit",
    "/about",
    "/search",
];

#[tokio::test]
async fn every_page_is_drawn_and_names_the_command_that_shows_the_same() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 3).await?;
    desk.add_rows(2, Rows::default()).await?;
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    for page in PAGES {
        let text = console.page(page).await?;
        ensure!(text.starts_with("<!doctype html>"), "{page}: {text}");
        ensure!(text.contains("id=\"main\"") && text.contains("</html>"), "{page}: {text}");
    }
    let stuck = console.page("/events?state=stuck").await?;
    ensure!(stuck.contains("outbox-relay events --stuck --limit 50"), "{stuck}");
    let cause = console.page(&format!("/failures/{NO_QUEUE}")).await?;
    ensure!(cause.contains("order.created"), "{cause}");
    let overview = console.page("/").await?;
    ensure!(overview.contains("No relay is at work: events are written"), "{overview}");
    Ok(())
}

/// It compares that with `/changes`: what changed while it was drawn would be missed otherwise.
#[tokio::test]
async fn a_page_says_up_to_which_change_it_was_drawn() -> Tested {
    let outbox = Outbox::new().await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let drawn_at = async || {
        let page = console.page("/events").await?;
        let (_, rest) = page.split_once("data-changes=\"").context("a page has a version")?;
        anyhow::Ok(rest.split('"').next().unwrap_or_default().to_owned())
    };
    let now = async || {
        let changes = console.json("/changes").await?;
        changes["version"].as_str().map(ToOwned::to_owned).context("a version")
    };
    eventually("the first look is over", async || Ok(drawn_at().await? == now().await?)).await?;
    let before = drawn_at().await?;
    outbox.add("7", "order.created").await?;
    eventually("it is seen", async || Ok(now().await? != before)).await?;
    assert_ne!(drawn_at().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_page_of_an_event_an_aggregate_and_a_dead_letter_has_all_that_is_known() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                  VALUES ('order', 'a/b c', 'order.created', '{\"price\": 12345678901234567890.10}')
                  RETURNING event_id::text";
    let event_id: String = outbox.sql.query_one(insert, &[]).await?.get(0);
    let letters = desk.add_rows(1, Rows::default()).await?;
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    let page = console.page(&format!("/events/{event_id}")).await?;
    // Not as a number of a browser or of Rust, which has fewer digits.
    ensure!(page.contains("12345678901234567890.10"), "{page}");
    ensure!(page.contains("a relay publishes it next"), "{page}");
    let page = console.page("/aggregates/order/a%2Fb%20c").await?;
    ensure!(page.contains(&event_id), "{page}");
    let fail = "UPDATE outbox SET attempts = 1, next_attempt_at = 'infinity', last_error = 'x'";
    outbox.sql.batch_execute(fail).await?;
    let held: String = outbox.sql.query_one(insert, &[]).await?.get(0);
    let page = console.page(&format!("/events/{event_id}")).await?;
    ensure!(page.contains("1 later event of its aggregate"), "{page}");
    ensure!(page.contains(&format!("/events/{held}\"")), "{page}");
    let page = console.page(&format!("/events/{held}")).await?;
    ensure!(page.contains("Held back by") && page.contains(&event_id), "{page}");
    let page = console.page(&format!("/dead-letters/{}", letters[0])).await?;
    ensure!(
        page.contains("customer 1 is unknown") && page.contains("{&quot;n&quot;: 1}"),
        "{page}"
    );
    for (query, path) in [
        (event_id.clone(), format!("/events/{event_id}")),
        ("order/a/b".to_owned(), "/aggregates/order/a%2Fb".to_owned()),
        (letters[0].to_string(), format!("/dead-letters/{}", letters[0])),
        ("00000000000000aa".to_owned(), "/dead-letters?fingerprint=00000000000000aa".to_owned()),
    ] {
        let found = console.get(&format!("/search?q={}", query.replace('/', "%2F"))).await?;
        assert_eq!(found.status, StatusCode::SEE_OTHER, "{query}: {}", found.text);
        assert_eq!(found.headers["location"], path, "{query}");
    }
    for missing in [
        "/events/0190163d-8694-739b-aea5-966c26f8ad91",
        "/events/x",
        "/dead-letters/999999",
        "/nowhere",
        "/confirm/destroy",
        "/operations/0190163d-8694-739b-aea5-966c26f8ad91",
    ] {
        assert_eq!(console.get(missing).await?.status, StatusCode::NOT_FOUND, "{missing}");
    }
    Ok(())
}

#[tokio::test]
async fn what_rows_and_messages_hold_is_text_on_every_page() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers, attempts, next_attempt_at, last_error,
                                      error_kind, error_fingerprint)
                  VALUES ($1, $1, $1, to_jsonb($1::text), jsonb_build_object('x', $1::text), 1, 'infinity', $1, 'returned', $2)
                  RETURNING event_id::text";
    let event = outbox.sql.query_one(insert, &[&HOSTILE, &NO_QUEUE]).await?;
    let event_id: String = event.get(0);
    let pause = "INSERT INTO outbox_pauses (event_type, reason, actor) VALUES ($1, $1, $1)";
    outbox.sql.execute(pause, &[&HOSTILE]).await?;
    let audit = "INSERT INTO outbox_audit (actor, action, reason, event_id) VALUES ($1, 'retry', $1, $2::text::uuid)";
    outbox.sql.execute(audit, &[&HOSTILE, &event_id]).await?;
    let rows = Rows { event_type: HOSTILE, reason: HOSTILE, return_to: HOSTILE, ..Rows::default() };
    let letters = desk.add_rows(1, rows).await?;
    desk.sql.execute("UPDATE dead_letters SET note = $1", &[&HOSTILE]).await?;
    let environment = [("CONSOLE_ENVIRONMENT", HOSTILE)];
    let console = Console::start(&outbox, Some(&desk), &environment).await?;
    let with_ids = [
        format!("/events/{event_id}"),
        format!("/failures/{NO_QUEUE}"),
        format!("/dead-letters/{}", letters[0]),
        format!("/confirm/retry?event_id={event_id}"),
        format!("/confirm/edit?event_id={event_id}"),
        format!("/confirm/return?id={}", letters[0]),
        "/events?type=%3C/script%3E%3Cimg%20src=x%20onerror=alert(1)%3E%22&state=stuck".to_owned(),
        "/search?q=%3Cimg%20src=x%20onerror=alert(1)%3E".to_owned(),
    ];
    for page in PAGES.map(ToOwned::to_owned).iter().chain(&with_ids) {
        let text = console.page(page).await?;
        ensure!(!text.contains("<img"), "{page} has markup of a row: {text}");
        // The page's own script is the only one.
        assert_eq!(text.matches("<script").count(), 1, "{page}: {text}");
        assert_eq!(text.matches("</script").count(), 1, "{page}: {text}");
    }
    let page = console.page(&with_ids[0]).await?;
    ensure!(page.contains("&lt;&#x2f;script&gt;&lt;img"), "it is shown as text: {page}");
    Ok(())
}

#[tokio::test]
async fn the_headers_let_a_page_do_nothing_but_be_looked_at() -> Tested {
    let console = Console::start(&Outbox::new().await?, None, &[]).await?;
    for path in ["/", "/nowhere", "/api/events", "/assets/console.js"] {
        let answer = console.get(path).await?;
        assert_eq!(
            answer.headers["content-security-policy"],
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            "{path}"
        );
        assert_eq!(answer.headers["referrer-policy"], "same-origin", "{path}");
        let cached = answer.headers["cache-control"].to_str()?;
        assert_eq!(cached == "no-store", !path.starts_with("/assets/"), "{path}: {cached}");
    }
    Ok(())
}

#[tokio::test]
async fn payloads_are_hidden_from_pages_json_and_editors_alike() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
                  VALUES ('order', '7', 'order.created', '{\"a\": \"secret of a person\"}', '{\"h\": \"secret of a person\"}')
                  RETURNING event_id::text";
    let event_id: String = outbox.sql.query_one(insert, &[]).await?.get(0);
    let letters = desk.add_rows(1, Rows::default()).await?;
    desk.sql.execute("UPDATE dead_letters SET body = 'secret of a person'", &[]).await?;
    // What an edit was about stands in the audit table, before and after.
    let audit = "INSERT INTO outbox_audit (actor, action, event_id, event, detail)
                 VALUES ('alice', 'edit', $1::text::uuid, '{\"payload\": \"secret of a person\"}', '{\"before\": \"secret of a person\"}')";
    outbox.sql.execute(audit, &[&event_id]).await?;
    let audit = "INSERT INTO dead_letters_audit (actor, action, dead_letter_id, operation_id, before)
                 VALUES ('alice', 'edit', $1, gen_random_uuid(), '{\"body\": \"secret of a person\"}')";
    desk.sql.execute(audit, &[&letters[0]]).await?;
    let hidden = [("CONSOLE_HIDE_PAYLOADS", "true")];
    let console = Console::start(&outbox, Some(&desk), &hidden).await?;
    let (event, letter) = (format!("/events/{event_id}"), format!("/dead-letters/{}", letters[0]));
    let api = [
        &format!("/api{event}"),
        &format!("/api{letter}"),
        "/api/audit",
        "/",
        "/api",
        "/dead-letters",
        "/api/dead-letters",
    ]
    .map(ToOwned::to_owned);
    let by_event = ["retry", "discard", "replay", "restore", "forget"]
        .map(|action| format!("/api/confirm/{action}?event_id={event_id}"));
    let by_letter = ["return", "note", "discard-letters", "forget-letters"]
        .map(|action| format!("/api/confirm/{action}?id={}", letters[0]));
    for path in [&event, &letter].into_iter().chain(&api).chain(&by_event).chain(&by_letter) {
        let text = console.page(path).await?;
        ensure!(!text.contains("secret"), "{path}: {text}");
        // By a hash one could tell whether a guess is right.
        ensure!(!text.contains(r#""digest":""#), "{path}: {text}");
    }
    for path in [
        format!("/confirm/edit?event_id={event_id}"),
        format!("/confirm/edit-letter?id={}", letters[0]),
    ] {
        let refused = console.get(&path).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}: {}", refused.text);
        ensure!(!refused.text.contains("secret"), "{}", refused.text);
    }
    Ok(())
}

#[tokio::test]
async fn what_can_not_be_read_is_said_and_not_shown_as_nothing() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 1).await?;
    let event_id: String =
        outbox.sql.query_one("SELECT event_id::text FROM outbox", &[]).await?.get(0);
    let console = Console::start(&outbox, None, &[]).await?;
    let page = console.page("/").await?;
    ensure!(!page.contains("could not be read"), "{page}");
    let wrong = console.get("/events?kind=x").await?;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{}", wrong.text);
    outbox.sql.batch_execute("BEGIN; LOCK TABLE outbox_audit IN ACCESS EXCLUSIVE MODE").await?;
    // With the next sample.
    eventually("it is said", async || {
        Ok(console.page("/").await?.contains("They could not be read: "))
    })
    .await?;
    outbox.sql.batch_execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE").await?;
    let unread = console.get(&format!("/events/{event_id}")).await?;
    assert_eq!(unread.status, StatusCode::SERVICE_UNAVAILABLE, "{}", unread.text);
    outbox.sql.batch_execute("ROLLBACK").await?;
    ensure!(console.page(&format!("/events/{event_id}")).await?.contains("order.created"), "back");
    Ok(())
}

#[tokio::test]
async fn an_aggregate_is_found_by_its_id_also_if_that_looks_like_an_event_id() -> Tested {
    let outbox = Outbox::new().await?;
    let aggregate = "0190163d-8694-739b-aea5-966c26f8ad91";
    outbox.add(aggregate, "order.created").await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let found = console.get(&format!("/api/search?q={aggregate}")).await?;
    assert_eq!(found.status, StatusCode::SEE_OTHER, "{}", found.text);
    assert_eq!(found.headers["location"], format!("/api/events?aggregate={aggregate}"));
    Ok(())
}

#[tokio::test]
async fn a_list_goes_on_where_its_page_ends() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 120).await?;
    let console = Console::start(&outbox, None, &[("CONSOLE_PREFIX", "/outbox")]).await?;
    let mut seen = std::collections::BTreeSet::new();
    let mut path = Some("/outbox/api/events?state=stuck&type=order.created".to_owned());
    let mut pages = 0;
    while let Some(page) = path {
        let data: serde_json::Value = serde_json::from_str(&console.page(&page).await?)?;
        for event in data["events"].as_array().into_iter().flatten() {
            ensure!(seen.insert(event["id"].as_i64()), "{event} is on two pages");
        }
        path = data["next"].as_str().map(ToOwned::to_owned);
        pages += 1;
    }
    assert_eq!((seen.len(), pages), (120, 3));
    Ok(())
}

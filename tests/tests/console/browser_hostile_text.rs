//! Text of rows and messages that would do harm as markup, or to the text around it: a browser shows
//! it as text, whatever field of whatever table has it.

use anyhow::{Context as _, ensure};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use pipeline_tests::browser::{Browser, Hands, Media, Scripts, Tab};
use pipeline_tests::console::Console;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::Rows;
use pipeline_tests::failed_events::NO_QUEUE;
use pipeline_tests::outbox::{Outbox, eventually};
use serde_json::json;

type Tested = anyhow::Result<()>;

/// Ends every element that a text may be in, and begins what would run.
const MARKUP: &str = "</script></textarea></pre></title></option>--><img src=x onerror=\"window.hurt='img'\">\
                      <svg onload='window.hurt=1'><a href=\"javascript:window.hurt=2\" onclick=alert(1)>x</a>{{7*7}}&amp;\"'";

/// Turns what comes after it around, and does not turn it back.
const RIGHT_TO_LEFT: &str = "\u{202e}\u{2067}\u{5e9}\u{5dc}\u{5d5}\u{5dd} order 4711";

/// Every control character that a text of PostgreSQL can have, and separators of lines.
fn control() -> String {
    let c0 = (1..=31).chain(127..=159).filter_map(char::from_u32);
    c0.chain("\u{2028}\u{2029}\u{feff}\u{fffe} x".chars()).collect()
}

/// How much of a payload or a body a page shows.
const SHOWN: usize = 256 * 1024;

/// A text of one megabyte, without a space at which a line could break.
fn long() -> String {
    format!("{MARKUP}{}", "0123456789abcdef".repeat(65536))
}

/// A row in each table, with `text` in each field that takes any; `short` where an index limits it.
async fn fill(outbox: &Outbox, desk: &DeadLetterQueue, text: &str) -> anyhow::Result<[String; 2]> {
    let short: String = text.chars().take(150).collect();
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers, attempts, next_attempt_at, last_error,
                                      error_kind, error_fingerprint)
                  VALUES ($1, $1, $1, jsonb_build_object($1::text, $1::text), jsonb_build_object($1::text, $1::text), 1, 'infinity', $1,
                          'returned', $2)
                  RETURNING event_id::text";
    let event: String = outbox.sql.query_one(insert, &[&text, &NO_QUEUE]).await?.get(0);
    for sql in [
        "INSERT INTO outbox_pauses (event_type, reason, actor) VALUES ($1, $2, $2)",
        "INSERT INTO outbox_pauses (aggregate_type, aggregate_id, reason, actor) VALUES ($1, $1, $2, $2)",
    ] {
        outbox.sql.execute(sql, &[&short, &text]).await?;
    }
    let audit = "INSERT INTO outbox_audit (actor, action, reason, event_id, event, detail)
                 VALUES ($1, 'edit', $1, $2::text::uuid, jsonb_build_object('payload', $1::text), jsonb_build_object($1::text, $1::text))";
    outbox.sql.execute(audit, &[&text, &event]).await?;
    let rows = Rows { event_type: &short, reason: "%s", ..Rows::default() };
    let id = desk.add_rows(1, rows).await?[0];
    let update = "UPDATE dead_letters
                  SET return_to = $1, message_id = $2, exchange = $1, routing_key = $1, body = convert_to($1, 'UTF8'), content_type = $1,
                      headers = jsonb_build_object($1::text, $1::text), properties = jsonb_build_object($1::text, $1::text),
                      reason = $1, note = $1
                  WHERE id = $3";
    desk.sql.execute(update, &[&text, &short, &id]).await?;
    let audit = "INSERT INTO dead_letters_audit (actor, action, reason, dead_letter_id, operation_id, before, after, detail)
                 SELECT $1, 'edit', $1, $2, gen_random_uuid(), x, x, x FROM jsonb_build_object($1::text, $1::text) AS x";
    desk.sql.execute(audit, &[&text, &id]).await?;
    Ok([event, id.to_string()])
}

/// Every page that shows any of it.
async fn pages(outbox: &Outbox, event: &str, letter: &str) -> anyhow::Result<Vec<String>> {
    let encoded = "SELECT aggregate_id FROM outbox WHERE event_id = $1::text::uuid";
    let aggregate: String = outbox.sql.query_one(encoded, &[&event]).await?.get(0);
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let short: String = aggregate.chars().take(150).collect();
    let (aggregate, short) = (encode(&aggregate), encode(&short));
    let mut pages = vec![
        "/".to_owned(),
        "/failures".to_owned(),
        format!("/failures/{NO_QUEUE}"),
        "/events?state=stuck".to_owned(),
        format!("/events?type={short}&error={short}&aggregate={short}&since={short}"),
        format!("/events/{event}"),
        "/dead-letters".to_owned(),
        format!("/dead-letters?queue={short}&error={short}"),
        "/dead-letters/groups".to_owned(),
        format!("/dead-letters/{letter}"),
        "/pauses".to_owned(),
        "/relays".to_owned(),
        "/audit".to_owned(),
        format!("/audit?actor={short}"),
        format!("/search?q={short}"),
        format!("/nowhere/{short}"),
        format!("/confirm/retry?event_id={event}&back=/events/{short}"),
        format!("/confirm/retry?fingerprint={NO_QUEUE}"),
        format!("/confirm/edit?event_id={event}"),
        format!("/confirm/edit-headers?event_id={event}"),
        format!("/confirm/discard?type={short}"),
        format!("/confirm/pause?type={short}"),
        format!("/confirm/return?id={letter}"),
        format!("/confirm/note?id={letter}"),
        format!("/confirm/return?error={short}"),
    ];
    if aggregate.len() < 8000 {
        pages.push(format!("/aggregates/{aggregate}/{aggregate}"));
    } else {
        // A browser takes seconds to lay out a megabyte: the addresses are tried with other texts.
        pages.retain(|page| !page.contains('%'));
        // It is too large to be edited in a page.
        pages.retain(|page| !page.starts_with("/confirm/edit"));
    }
    Ok(pages)
}

/// Fails unless this element holds `text`.
async fn holds(tab: &Tab, selector: &str, text: &str) -> Tested {
    let script = "return document.querySelector(arguments[0]).textContent";
    let shown = tab.run(script, vec![selector.into()]).await?;
    let shown = shown.as_str().context("a text")?;
    ensure!(shown.contains(text), "{selector} has no {text:?} but {:?}", shown.get(..300));
    Ok(())
}

async fn is_only_text(text: &str, media: Media) -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    let [event, letter] = fill(&outbox, &desk, text).await?;
    let environment = text.chars().filter(|c| !c.is_control()).take(60).collect::<String>();
    let console =
        Console::start(&outbox, Some(&desk), &[("CONSOLE_ENVIRONMENT", &environment)]).await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&console.url, Hands::Mouse, Scripts::On).await?;
    tab.show_as(media).await?;
    for page in pages(&outbox, &event, &letter).await? {
        tab.open(&page).await?;
        let page: String = page.chars().take(60).collect();
        tab.holds_text_only().await.context(page)?;
    }
    // All of it is shown, not only nothing done.
    // A busy console may say that it is too slow.
    tab.open(&format!("/events/{event}")).await?;
    eventually("the event is shown", async || {
        tab.client.refresh().await?;
        Ok(tab.run("return !!document.querySelector('#payload')", vec![]).await? == true)
    })
    .await?;
    let line = text.split(['\r', '\n']).next().unwrap_or_default();
    if text.len() < SHOWN {
        let payload =
            tab.run("return JSON.parse(document.querySelector('#payload').textContent)", vec![]);
        assert_eq!(payload.await?, json!({ text: text }));
    } else {
        holds(&tab, "#payload", &"0123456789abcdef".repeat(SHOWN / 16 / 2)).await?;
    }
    holds(&tab, "dl.facts", line).await?;
    tab.open(&format!("/dead-letters/{letter}")).await?;
    holds(&tab, "#body", line.get(..SHOWN).unwrap_or(line)).await
}

#[tokio::test]
async fn markup() -> Tested {
    is_only_text(MARKUP, Media::Narrow).await
}

#[tokio::test]
async fn right_to_left() -> Tested {
    is_only_text(RIGHT_TO_LEFT, Media::Light).await
}

#[tokio::test]
async fn control_characters() -> Tested {
    is_only_text(&control(), Media::Light).await
}

#[tokio::test]
async fn a_megabyte() -> Tested {
    is_only_text(&long(), Media::Narrow).await
}

#[tokio::test]
async fn a_message_as_it_was_collected() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    let text = || AMQPValue::LongString(MARKUP.into());
    let mut inner = FieldTable::default();
    inner.insert(MARKUP.into(), text());
    let mut headers = FieldTable::default();
    for (name, value) in
        [(MARKUP, text()), ("x-error", text()), ("x-table", AMQPValue::FieldTable(inner))]
    {
        headers.insert(name.into(), value);
    }
    let short: String = MARKUP.chars().take(250).collect();
    let properties = BasicProperties::default()
        .with_headers(headers)
        .with_message_id(short.as_str().into())
        .with_type(short.as_str().into())
        .with_content_type(short.as_str().into())
        .with_app_id(short.as_str().into());
    // A body that is no text, too.
    desk.add(1, MARKUP.as_bytes(), properties.clone()).await?;
    desk.add(1, b"\x00\xff</script><img src=x onerror=alert(1)>", properties).await?;
    desk.collect_all().await?;
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&console.url, Hands::Mouse, Scripts::On).await?;
    let rows = desk.sql.query("SELECT id FROM dead_letters ORDER BY id", &[]).await?;
    let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    ensure!(ids.len() == 2, "{ids:?}");
    for id in &ids {
        for page in [format!("/dead-letters/{id}"), format!("/confirm/return?id={id}")] {
            tab.open(&page).await?;
            tab.holds_text_only().await.context(page)?;
        }
    }
    tab.open(&format!("/dead-letters/{}", ids[0])).await?;
    holds(&tab, "#body", MARKUP).await?;
    tab.press("Edit").await?;
    assert_eq!(tab.value("Body").await?, MARKUP);
    tab.holds_text_only().await?;
    // A browser sends other line ends than it was given: what it would change is not edited so.
    let ends = "UPDATE dead_letters SET body = convert_to(E'a;b\r\nc;d\r\n', 'UTF8') WHERE id = $1";
    desk.sql.execute(ends, &[&ids[0]]).await?;
    tab.open(&format!("/confirm/edit-letter?id={}", ids[0])).await?;
    tab.see("A form would change its line ends").await
}

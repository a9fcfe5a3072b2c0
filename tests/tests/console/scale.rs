//! What the console's pages read of tables with 100,000 rows: as little as people see of them, and
//! by an index. `cargo xtask bench console` measures the time, with more rows.

use std::collections::BTreeMap;

use anyhow::ensure;
use pipeline_tests::console::Console;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::outbox::{Outbox, eventually};
use pipeline_tests::rows_read::{rows_read, sequential_scans};
use reqwest::StatusCode;

/// Rows of each: pending events, published ones, dead letters, audit rows.
const ROWS: i64 = 100_000;

/// The causes of failed events and of dead letters.
const CAUSES: i64 = 300;

/// The most rows of a page that shows what an index leads to: a few for each that is shown.
const FEW: i64 = 1000;

/// A page of a list that is searched for what no index has: as many rows as a search may read, and
/// as many once more to find out where that was.
const SEARCH: i64 = 205_000;

/// A page of a list by cause: as many rows as are shown of each of the groups that match.
const BY_CAUSE: i64 = 40_000;

/// Pages with groups: 20,000 events are counted, or 100 of each of 500 groups if these are more,
/// and what waits behind each is looked up; 50,000 dead letters.
const GROUPS: i64 = 80_000;

/// Pages with the figures of the backlog: 100,000 are counted in each state, and 50,000 are looked
/// at for the rate.
const FIGURES: i64 = 350_000;

/// Addresses of the outbox's pages, with the rows that each may read. Names in braces stand for
/// rows that are there.
const OUTBOX_PAGES: [(&str, i64); 37] = [
    ("/failures", GROUPS),
    ("/failures/{fingerprint}", GROUPS),
    ("/failures/{fingerprint}?kind={kind}", GROUPS),
    ("/events", FEW),
    ("/events?after={published_id}", FEW),
    ("/events?state=pending", FEW),
    ("/events?state=pending&after={stuck_id}", FEW),
    ("/events?state=waiting", FEW),
    ("/events?state=scheduled", FEW),
    ("/events?state=stuck", FEW),
    ("/events?state=stuck&after={stuck_id}", FEW),
    ("/events?state=parked", FEW),
    ("/events?state=published", SEARCH),
    ("/events?state=published&after={published_id}", FEW),
    ("/events?aggregate={aggregate_id}", SEARCH),
    ("/events?aggregate_type=failing", SEARCH),
    ("/events?type=order.paid", SEARCH),
    ("/events?kind=returned", BY_CAUSE),
    ("/events?kind=returned&state=stuck&type=order.paid", BY_CAUSE),
    ("/events?fingerprint={fingerprint}", FEW),
    ("/events?error=cause%20299", SEARCH),
    ("/events?state=stuck&error=cause%20299", SEARCH),
    ("/events?kind=returned&error=nothing", SEARCH),
    ("/events?since=5m", SEARCH),
    ("/events?until=1d", SEARCH),
    ("/events/{published}", FEW),
    ("/events/{stuck}", FEW),
    ("/events/{behind}", FEW),
    ("/aggregates/failing/{aggregate_id}", SEARCH + SEARCH / 2),
    ("/search?q={published}", FEW),
    ("/search?q=failing/{aggregate_id}", 0),
    ("/search?q={aggregate_id}", SEARCH),
    ("/search?q={fingerprint}", FEW),
    ("/search?q=nothing", SEARCH),
    ("/confirm/retry?event_id={stuck}", FEW),
    ("/pauses", 0),
    ("/relays", FIGURES),
];

/// The same of the desk's pages.
const DESK_PAGES: [(&str, i64); 22] = [
    ("/dead-letters", FEW),
    ("/dead-letters?after=1000", FEW),
    ("/dead-letters?state=returning", FEW),
    ("/dead-letters?state=returned", FEW),
    ("/dead-letters?state=discarded", FEW),
    ("/dead-letters?state=any", FEW),
    ("/dead-letters?queue=mail.dlq", FEW),
    ("/dead-letters?kind=expired", BY_CAUSE),
    ("/dead-letters?type=order.paid", BY_CAUSE),
    ("/dead-letters?fingerprint={letter_fingerprint}", BY_CAUSE),
    ("/dead-letters?queue=mail.dlq&kind=expired&type=order.paid", BY_CAUSE),
    ("/dead-letters?error=cause%20299", SEARCH),
    ("/dead-letters?state=returned&error=nothing", SEARCH),
    ("/dead-letters?state=any&message_id=m777", FEW),
    ("/dead-letters?since=1d", FEW),
    ("/dead-letters?until=1d", SEARCH),
    ("/dead-letters/groups", GROUPS),
    ("/dead-letters/groups?queue=mail.dlq", GROUPS),
    ("/dead-letters/groups?kind=expired", GROUPS),
    ("/dead-letters/{letter}", FEW),
    ("/search?q={letter}", FEW),
    ("/confirm/return?id={letter}", FEW),
];

/// The same of pages of the audit table.
const AUDIT_PAGES: [(&str, i64); 6] = [
    ("/audit", FEW),
    ("/audit?after=1000", FEW),
    ("/audit?actor=alice&action=retry", FEW),
    ("/audit?actor=eve", SEARCH),
    ("/audit?event=00000000-0000-0000-0000-000000000100", FEW),
    ("/audit?operation=00000000-0000-0000-0000-000000000001", FEW),
];

/// What the names in braces stand for.
type Names = BTreeMap<&'static str, String>;

async fn fill(outbox: &Outbox, desk: &DeadLetterQueue) -> anyhow::Result<Names> {
    let payload = r#"{"product_name": "a bicycle bell", "delivery_address": "Cra 7 #12-34"}"#;
    let sql = &outbox.sql;
    let history = include_str!("../../../bench/sql/fill_history.sql");
    sql.execute(history, &[&1_i64, &ROWS, &payload]).await?;
    let failures = include_str!("../../../bench/sql/fill_failures.sql");
    sql.execute(failures, &[&(ROWS / 2), &CAUSES, &payload]).await?;
    let due = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
               SELECT 'order', i::text, 'order.created', '{}' FROM generate_series(1, $1::bigint) AS i";
    sql.execute(due, &[&(ROWS / 2)]).await?;
    sql.execute(include_str!("../../../bench/sql/fill_audit.sql"), &[&ROWS]).await?;
    let letters = include_str!("../../../bench/sql/fill_dead_letters.sql");
    desk.sql.execute(letters, &[&ROWS, &CAUSES]).await?;
    sql.batch_execute("VACUUM ANALYZE").await?;
    desk.sql.batch_execute("VACUUM ANALYZE").await?;
    let mut names = Names::new();
    for (sql, words, query) in [
        (
            sql,
            &["published", "published_id"][..],
            "SELECT event_id::text, id::text FROM outbox ORDER BY outbox.id OFFSET 50000 LIMIT 1",
        ),
        (
            sql,
            &["stuck", "stuck_id", "aggregate_id", "fingerprint", "kind"],
            "SELECT event_id::text, id::text, aggregate_id, error_fingerprint, error_kind FROM outbox
             WHERE next_attempt_at = 'infinity' AND attempts > 0 ORDER BY outbox.id OFFSET 100 LIMIT 1",
        ),
        (
            sql,
            &["behind"],
            "SELECT event_id::text FROM outbox
             WHERE aggregate_type = 'failing' AND next_attempt_at IS NULL ORDER BY id LIMIT 1",
        ),
        (
            &desk.sql,
            &["letter", "letter_fingerprint"],
            "SELECT id::text, fingerprint FROM dead_letters WHERE state = 'open' ORDER BY dead_letters.id OFFSET 100 LIMIT 1",
        ),
    ] {
        let row = sql.query_one(query, &[]).await?;
        names.extend(words.iter().enumerate().map(|(place, name)| (*name, row.get(place))));
    }
    Ok(names)
}

fn named(page: &str, names: &Names) -> String {
    let replace =
        |page: String, (name, value): (&&str, &String)| page.replace(&format!("{{{name}}}"), value);
    names.iter().fold(page.to_owned(), replace)
}

#[tokio::test]
async fn every_page_reads_few_of_100_000_rows_and_walks_through_no_table() -> anyhow::Result<()> {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    let names = fill(&outbox, &desk).await?;
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    let tables =
        [(&outbox.sql, "outbox"), (&outbox.sql, "outbox_audit"), (&desk.sql, "dead_letters")];
    let mut scans = Vec::new();
    for (sql, table) in tables {
        scans.push(sequential_scans(sql, table).await?);
    }
    let lists = [
        (tables[0], &OUTBOX_PAGES[..]),
        (tables[1], &AUDIT_PAGES[..]),
        (tables[2], &DESK_PAGES[..]),
    ];
    for page in lists
        .iter()
        .flat_map(|(_, pages)| pages.iter())
        .map(|(page, _)| *page)
        .chain(["/", "/about"])
    {
        answers(&console, &named(page, &names)).await?;
    }
    // The sampler looks every ten seconds with the rights of a viewer, and would be counted.
    outbox
        .sql
        .batch_execute(
            "REVOKE SELECT ON outbox FROM outbox_viewer; GRANT SELECT ON outbox TO outbox_admin",
        )
        .await?;
    eventually("the sampler may look no more", async || {
        Ok(console.get("/").await?.status != StatusCode::OK)
    })
    .await?;
    let mut wrong = Vec::new();
    for ((sql, table), pages) in lists {
        for (page, most) in pages {
            let page = named(page, &names);
            let before = rows_read(sql, table).await?;
            answers(&console, &page).await?;
            let read = rows_read(sql, table).await? - before;
            if !(0..=*most).contains(&read) {
                wrong.push(format!("{page} read {read} rows of {table}"));
            }
        }
    }
    for ((sql, table), before) in tables.into_iter().zip(scans) {
        let scans = sequential_scans(sql, table).await? - before;
        if scans != 0 {
            wrong.push(format!("{table} was read from its begin to its end, {scans} times"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Fails unless the page is there; a search leads to another one.
async fn answers(console: &Console, page: &str) -> anyhow::Result<()> {
    let answer = console.get(page).await?;
    let is_there = answer.status == StatusCode::OK
        || (page.starts_with("/search") && answer.status == StatusCode::SEE_OTHER);
    ensure!(is_there, "{page}: {} {}", answer.status, answer.text);
    Ok(())
}

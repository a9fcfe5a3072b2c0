//! `outbox-relay events`, page by page.

use anyhow::{Context as _, ensure};
use pipeline_tests::failed_events::{NO_QUEUE, TOO_LONG, add_failed};
use pipeline_tests::outbox::Outbox;
use serde_json::Value;

/// The ids on a page.
fn ids(page: &[Value]) -> Vec<i64> {
    page.iter().filter_map(|event| event["id"].as_i64()).collect()
}

/// The place that the command names for the next page, if it names one.
fn next(said: &str) -> Option<&str> {
    said.split_once("--after ")?.1.split([' ', ',']).next()
}

/// Reads a list to its end, page by page, as its text output says.
async fn pages(outbox: &Outbox, arguments: &[&str]) -> anyhow::Result<Vec<Vec<i64>>> {
    let mut pages = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut arguments = [&["events"], arguments].concat();
        if let Some(after) = &after {
            arguments.extend(["--after", after.as_str()]);
        }
        let text = outbox.command(&arguments).await?;
        ensure!(text.code == Some(0), "{text:?}");
        let json = outbox.command(&[&arguments[..], &["--json"]].concat()).await?;
        pages.push(ids(&json.json_lines()?));
        let Some(next) = next(&text.err) else { return Ok(pages) };
        ensure!(after.as_deref() != Some(next), "{arguments:?} does not get on");
        after = Some(next.to_owned());
    }
}

/// Adds events in each state, by turns: 1 and 7 are published, 2 and 8 ready, 3 and 9 waiting, 4 and
/// 10 stuck, 5 and 11 scheduled, 6 and 12 parked; the later one of those that have a time comes first.
async fn two_of_each(outbox: &Outbox) -> anyhow::Result<()> {
    let insert = "
        INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, created_at, published_at, attempts, next_attempt_at,
                            error_kind, error_fingerprint)
        SELECT 'order', i || '-' || state, 'order.created', '{}', now() - (3 - i) * interval '1 day',
               CASE state WHEN 1 THEN now() END,
               CASE WHEN state IN (3, 4) THEN 1 ELSE 0 END,
               CASE WHEN state IN (3, 5) THEN now() + (3 - i) * interval '1 hour' WHEN state IN (4, 6) THEN 'infinity'::timestamptz END,
               CASE WHEN state IN (3, 4) THEN 'returned' END,
               CASE WHEN state IN (3, 4) THEN '00000000000000aa' END
        FROM generate_series(1, 2) AS i, generate_series(1, 6) AS state
        ORDER BY i, state";
    Ok(outbox.sql.batch_execute(insert).await?)
}

#[tokio::test]
async fn each_list_is_read_to_its_end_page_by_page() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    two_of_each(&outbox).await?;
    for (arguments, expected) in [
        (&["--limit", "5"][..], &[&[12, 11, 10, 9, 8][..], &[7, 6, 5, 4, 3], &[2, 1]][..]),
        (&["--limit", "6"], &[&[12, 11, 10, 9, 8, 7], &[6, 5, 4, 3, 2, 1]]),
        (&["--limit", "12"], &[&[12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]]),
        (&["--pending", "--limit", "6"], &[&[2, 3, 4, 5, 6, 8], &[9, 10, 11, 12]]),
        (&["--published", "--limit", "1"], &[&[7], &[1]]),
        (&["--waiting", "--limit", "1"], &[&[9], &[3]]),
        (&["--scheduled", "--limit", "1"], &[&[11], &[5]]),
        (&["--stuck", "--limit", "1"], &[&[4], &[10]]),
        (&["--parked", "--limit", "1"], &[&[6], &[12]]),
        (&["--parked"], &[&[6, 12]]),
        (&["--kind", "returned", "--limit", "3"], &[&[3, 4, 9], &[10]]),
        (&["--kind", "returned", "--stuck", "--limit", "1"], &[&[4], &[10]]),
        (&["--kind", "returned", "--waiting", "--limit", "1"], &[&[3], &[9]]),
        (&["--fingerprint", NO_QUEUE, "--since", "36h", "--limit", "1"], &[&[9], &[10]]),
        (&["--waiting", "--until", "36h"], &[&[3]]),
    ] {
        assert_eq!(pages(&outbox, arguments).await?, expected, "{arguments:?}");
    }
    // With pages of one row, what becomes due or is published meanwhile hides nothing.
    outbox.sql.batch_execute("UPDATE outbox SET published_at = now() WHERE id IN (2, 3)").await?;
    let rest = outbox.command(&["events", "--pending", "--after", "3", "--json"]).await?;
    assert_eq!(ids(&rest.json_lines()?), [4, 5, 6, 8, 9, 10, 11, 12]);
    Ok(())
}

#[tokio::test]
async fn a_search_that_finds_little_ends_early_says_so_and_goes_on() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    two_of_each(&outbox).await?;
    // Reads a row for each that the page may have, one more, and three.
    let few = ["--limit", "1", "--scan-limit", "3"];
    for (arguments, expected) in [
        (&["--published"][..], &[&[][..], &[7], &[1]][..]),
        (&["--aggregate", "1-2"], &[&[], &[], &[2]]),
        (&["--pending", "--aggregate", "2-6"], &[&[], &[12], &[]]),
        (&["--pending", "--aggregate", "1-6"], &[&[6], &[], &[]]),
        (&["--waiting", "--type", "none"], &[&[]]),
    ] {
        let found = pages(&outbox, &[arguments, &few].concat()).await?;
        assert_eq!(found, expected, "{arguments:?}");
    }
    let arguments = [&["events", "--aggregate", "1-1", "--json"], &few[..]].concat();
    let ended = outbox.command(&arguments).await?;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""));
    assert_eq!(
        ended.err,
        "The search ended after 5 rows; there may be more events: --after 8 goes on, or raise --scan-limit.\n"
    );
    Ok(())
}

/// Groups are read apart, so each has a place up to which it was read.
#[tokio::test]
async fn a_search_by_cause_that_ends_early_leaves_out_no_event() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    // The first half has one cause, the second one another: read side by side, a hundred at a time.
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 1000).await?;
    let change = "UPDATE outbox SET error_fingerprint = $1, last_error = 'other' WHERE id > 500";
    outbox.sql.execute(change, &[&TOO_LONG]).await?;
    outbox.sql.batch_execute("UPDATE outbox SET last_error = 'rare' WHERE id % 100 = 1").await?;
    // 100 rows of each group are read for a page, however few are allowed.
    let few = ["--kind", "returned", "--limit", "4", "--scan-limit", "1"];
    let found = pages(&outbox, &[&few, &["--error", "rare"][..]].concat()).await?;
    assert!(found.len() > 3, "{found:?}");
    assert_eq!(found.concat(), (0..10).map(|i| i * 100 + 1).collect::<Vec<i64>>());
    let found = pages(&outbox, &[&few, &["--error", "rare", "--waiting"][..]].concat()).await?;
    assert!(found.concat().is_empty(), "{found:?}");
    let all = ["--kind", "returned", "--limit", "300"];
    let found = pages(&outbox, &all).await?;
    assert_eq!(found.concat(), (1..=1000).collect::<Vec<i64>>());
    Ok(())
}

#[tokio::test]
async fn a_place_of_a_list_in_another_order_is_a_usage_error() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let time = "2026-02-01T22:25:31.5+00:00/7";
    for (arguments, named) in [
        (["--pending", "--after", time], "an id"),
        (["--stuck", "--after", time], "an id"),
        (["--waiting", "--after", "7"], "TIME/ID"),
        (["--scheduled", "--after", "7"], "TIME/ID"),
    ] {
        let ended = outbox.command(&[&["events"], &arguments[..]].concat()).await?;
        assert_eq!((ended.code, ended.out.as_str()), (Some(64), ""), "{ended:?}");
        assert!(ended.err.contains(&format!("--after must be {named}")), "{ended:?}");
    }
    for arguments in
        [["--waiting", "--after", time], ["--pending", "--after", "-9223372036854775808"]]
    {
        let ended = outbox.command(&[&["events"], &arguments[..]].concat()).await?;
        assert_eq!((ended.code, ended.err.trim()), (Some(0), "No events match."));
    }
    Ok(())
}

#[tokio::test]
async fn rows_with_the_first_and_the_last_id_are_on_pages_too() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let insert = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at, error_kind, error_fingerprint)
                  OVERRIDING SYSTEM VALUE
                  SELECT id, 'order', id::text, 'order.created', '{}', 1, 'infinity', 'returned', '00000000000000aa'
                  FROM unnest('{-9223372036854775808,-1,0,9223372036854775807}'::bigint[]) AS id";
    outbox.sql.batch_execute(insert).await?;
    let mut expected = vec![vec![i64::MIN, -1], vec![0, i64::MAX]];
    for state in [&["--pending"][..], &["--stuck"], &["--kind", "returned"]] {
        let found = pages(&outbox, &[state, &["--limit", "2"]].concat()).await?;
        assert_eq!(found, expected, "{state:?}");
    }
    expected = vec![vec![i64::MAX, 0], vec![-1, i64::MIN]];
    assert_eq!(pages(&outbox, &["--limit", "2"]).await?, expected);
    let first = outbox.command(&["events", "--limit", "1"]).await?;
    let after = next(&first.err).context("a next page")?;
    assert_eq!(after, i64::MAX.to_string());
    Ok(())
}

#[tokio::test]
async fn a_list_goes_on_beyond_the_year_9999() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let insert = "
        INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, next_attempt_at)
        SELECT 'order', i, 'order.created', '{}', make_timestamptz(12000 + i, 2, 28, 12, 30, 1.5, 'UTC')
        FROM generate_series(1, 3) AS i";
    outbox.sql.batch_execute(insert).await?;
    let found = pages(&outbox, &["--scheduled", "--limit", "1"]).await?;
    assert_eq!(found, [[1], [2], [3]]);
    Ok(())
}

#[tokio::test]
async fn a_list_of_very_many_causes_looks_at_some_and_says_so() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let insert = "
        INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at, error_kind, error_fingerprint)
        SELECT 'order', i, 'order.created', '{}', 1, 'infinity', 'returned', lpad(to_hex(i), 16, '0') FROM generate_series(1, 1000) AS i";
    outbox.sql.batch_execute(insert).await?;
    let list = ["events", "--kind", "returned", "--limit", "5"];
    let ended = outbox.command(&list).await?;
    ensure!(!ended.err.contains("causes exist"), "{ended:?}");
    add_failed(&outbox, "order.created", ["returned", "ffffffffffffffff"], 1).await?;
    for arguments in [&list[..], &["events", "--kind", "returned", "--json"]] {
        let ended = outbox.command(arguments).await?;
        let said = "More than 1000 causes exist: only events of 1000 of them are listed. Name one with --fingerprint.\n";
        ensure!(ended.code == Some(0) && ended.err.starts_with(said), "{ended:?}");
    }
    let named = ["events", "--fingerprint", "ffffffffffffffff", "--json"];
    let ended = outbox.command(&named).await?;
    assert_eq!((ids(&ended.json_lines()?), ended.err.as_str()), (vec![1001], ""));
    Ok(())
}

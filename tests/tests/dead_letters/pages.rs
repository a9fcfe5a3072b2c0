//! `outbox-relay dead-letters list` and `audit`, page by page.

use anyhow::ensure;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::Rows;
use serde_json::Value;

/// The ids on a page.
fn ids(page: &[Value]) -> Vec<i64> {
    page.iter().filter_map(|letter| letter["id"].as_i64()).collect()
}

/// The place that the command names for the next page, if it names one.
fn next(said: &str) -> Option<&str> {
    said.split_once("--after ")?.1.split([' ', ',']).next()
}

/// Reads a list to its end, page by page, as its text output says.
async fn pages(desk: &DeadLetterQueue, arguments: &[&str]) -> anyhow::Result<Vec<Vec<i64>>> {
    let mut pages = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut arguments = arguments.to_vec();
        if let Some(after) = &after {
            arguments.extend(["--after", after.as_str()]);
        }
        let text = desk.command(&arguments).await?;
        ensure!(text.code == Some(0), "{text:?}");
        let json = desk.command(&[&arguments[..], &["--json"]].concat()).await?;
        pages.push(ids(&json.json_lines()?));
        let Some(next) = next(&text.err) else { return Ok(pages) };
        ensure!(after.as_deref() != Some(next), "{arguments:?} does not get on");
        after = Some(next.to_owned());
    }
}

/// Dead letters with the ids from 1: three that are open, one of another type; one that is being
/// returned; two that were returned, of two queues, in the order of their ids; three that were
/// discarded, at once but the first, which was so last.
async fn in_each_state() -> anyhow::Result<DeadLetterQueue> {
    let desk = DeadLetterQueue::desk().await?;
    desk.add_rows(9, Rows::default()).await?;
    desk.sql
        .batch_execute(
            "UPDATE dead_letters SET event_type = 'order.paid' WHERE id = 2;
             UPDATE dead_letters SET state = 'returning' WHERE id = 4;
             UPDATE dead_letters SET state = 'returned', settled_at = now() + id * interval '1 s' WHERE id IN (5, 6);
             UPDATE dead_letters SET queue = 'other.dlq' WHERE id = 6;
             UPDATE dead_letters SET state = 'discarded', settled_at = now() WHERE id > 7;
             UPDATE dead_letters SET state = 'discarded', settled_at = now() + interval '1 ms' WHERE id = 7",
        )
        .await?;
    Ok(desk)
}

#[tokio::test]
async fn each_list_is_read_to_its_end_page_by_page() -> anyhow::Result<()> {
    let desk = in_each_state().await?;
    for (arguments, expected) in [
        (&["--limit", "2"][..], &[&[1, 2][..], &[3]][..]),
        (&["--limit", "3"], &[&[1, 2, 3]]),
        (&["--queue", "billing.dlq", "--limit", "1"], &[&[1], &[2], &[3]]),
        (&["--type", "order.created", "--limit", "1"], &[&[1], &[3]]),
        (&["--kind", "failed", "--limit", "2"], &[&[1, 2], &[3]]),
        (&["--state", "returning", "--limit", "1"], &[&[4]]),
        (&["--state", "returned", "--limit", "1"], &[&[6], &[5]]),
        (&["--state", "returned", "--queue", "billing.dlq"], &[&[5]]),
        (&["--state", "discarded", "--limit", "2"], &[&[7, 9], &[8]]),
        (&["--state", "discarded", "--limit", "1"], &[&[7], &[9], &[8]]),
        (&["--state", "any", "--limit", "5"], &[&[9, 8, 7, 6, 5], &[4, 3, 2, 1]]),
        (&["--message-id", "m3"], &[&[3]]),
    ] {
        let found = pages(&desk, &[&["list"], arguments].concat()).await?;
        assert_eq!(found, expected, "{arguments:?}");
    }
    for (arguments, named) in [
        (["--state", "any", "--after", "2026-02-01T22:25:31Z/7"], "an id"),
        (["--state", "open", "--after", "infinity/7"], "an id"),
        (["--state", "returned", "--after", "7"], "TIME/ID"),
    ] {
        let ended = desk.command(&[&["list"], &arguments[..]].concat()).await?;
        assert_eq!((ended.code, ended.out.as_str()), (Some(64), ""), "{ended:?}");
        assert!(ended.err.contains(&format!("--after must be {named}")), "{ended:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_search_that_finds_little_ends_early_says_so_and_goes_on() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    desk.add_rows(500, Rows::default()).await?;
    desk.sql
        .batch_execute(
            "UPDATE dead_letters SET event_type = 'order.paid' WHERE id % 2 = 0;
             UPDATE dead_letters SET reason = 'rare' WHERE id % 100 = 0 OR id % 150 = 1",
        )
        .await?;
    let rare = [1, 100, 151, 200, 300, 301, 400, 451, 500];
    let reversed: Vec<i64> = rare.into_iter().rev().collect();
    let few = ["--error", "rare", "--limit", "2", "--scan-limit", "37"];
    let found = pages(&desk, &[&["list"], &few[..]].concat()).await?;
    assert!(found.len() > 10, "{found:?}");
    assert_eq!(found.concat(), rare);
    let found = pages(&desk, &[&["list", "--kind", "failed"], &few[..]].concat()).await?;
    assert_eq!(found.concat(), rare);
    let found = pages(&desk, &[&["list", "--state", "any"], &few[..]].concat()).await?;
    assert!(found.len() > 10, "{found:?}");
    assert_eq!(found.concat(), reversed);
    desk.sql
        .batch_execute(
            "UPDATE dead_letters SET state = 'returned', settled_at = now() + (id / 10) * interval '1 s';
             UPDATE dead_letters SET queue = 'other.dlq' WHERE id <= 250",
        )
        .await?;
    let found = pages(&desk, &[&["list", "--state", "returned"], &few[..]].concat()).await?;
    assert!(found.len() > 2, "{found:?}");
    assert_eq!(found.concat(), reversed);
    let arguments = ["list", "--state", "any", "--error", "none", "--scan-limit", "9", "--json"];
    let ended = desk.command(&arguments).await?;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""));
    assert_eq!(
        ended.err,
        "The search ended after 60 rows; there may be more dead letters: --after 441 goes on, or raise --scan-limit.\n"
    );
    Ok(())
}

#[tokio::test]
async fn what_people_did_is_listed_the_latest_first_and_selected_by_each_filter()
-> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    desk.add_rows(3, Rows::default()).await?;
    let url = &desk.database.url;
    for (actor, arguments) in [
        ("alice", &["note", "1", "--text", "ticket 7"][..]),
        ("bob", &["discard", "1", "2", "--reason", "a test"]),
        ("carol", &["forget", "2", "--reason", "asked for", "--yes"]),
    ] {
        let ended = desk.command_as(url, actor, arguments).await?;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let viewer = desk.person("dead_letters_viewer").await?;
    let all = desk.command_as(&viewer, "eve", &["audit", "--json"]).await?.json_lines()?;
    let summary: Vec<_> = all
        .iter()
        .map(|entry| (entry["action"].as_str(), entry["dead_letter_id"].as_i64()))
        .collect();
    let [forget, discard, note] = [Some("forget"), Some("discard"), Some("note")];
    assert_eq!(summary[0], (forget, Some(2)));
    assert_eq!((summary[1].0, summary[2].0, summary[3]), (discard, discard, (note, Some(1))));
    assert_eq!(all[1]["operation_id"], all[2]["operation_id"]);
    let operation = all[1]["operation_id"].as_str().unwrap_or_default();
    desk.sql
        .batch_execute(
            "UPDATE dead_letters_audit SET happened_at = now() - interval '2 days' WHERE id = 1",
        )
        .await?;
    for (arguments, expected) in [
        (&["--actor", "bob"][..], &[&[3, 2][..]][..]),
        (&["--action", "note"], &[&[1]]),
        (&["--operation", operation, "--limit", "1"], &[&[3], &[2]]),
        (&["--since", "1d"], &[&[4, 3, 2]]),
        (&["--until", "1d"], &[&[1]]),
        (&["--actor", "alice", "--limit", "1", "--scan-limit", "1"], &[&[], &[1]]),
        (&["--limit", "3"], &[&[4, 3, 2], &[1]]),
    ] {
        let found = pages(&desk, &[&["audit"], arguments].concat()).await?;
        assert_eq!(found, expected, "{arguments:?}");
    }
    let of_one = desk.command(&["audit", "--dead-letter", "1"]).await?;
    assert!(of_one.out.contains("DEAD LETTER") && of_one.out.contains("a test"), "{of_one:?}");
    assert_eq!(of_one.out.lines().count(), 3, "{of_one:?}");
    Ok(())
}

#[tokio::test]
async fn a_list_of_very_many_causes_looks_at_some_and_says_so() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    desk.add_rows(1001, Rows::default()).await?;
    let list = ["list", "--kind", "failed", "--limit", "5"];
    let ended = desk.command(&list).await?;
    ensure!(!ended.err.contains("causes exist"), "{ended:?}");
    desk.sql
        .batch_execute("UPDATE dead_letters SET fingerprint = lpad(to_hex(id), 16, '0')")
        .await?;
    let ended = desk.command(&list).await?;
    let said = "More than 1000 causes exist: only dead letters of 1000 of them are listed.";
    ensure!(ended.code == Some(0) && ended.err.starts_with(said), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_cause_that_is_named_is_found_among_very_many() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    desk.add_rows(1505, Rows::default()).await?;
    desk.sql
        .batch_execute(
            "UPDATE dead_letters SET queue = 'a', fingerprint = lpad(to_hex(id), 16, '0') WHERE id <= 1500;
             UPDATE dead_letters SET queue = 'b', error_kind = 'expired' WHERE id = 1501;
             UPDATE dead_letters SET queue = 'z', fingerprint = 'ffffffffffffffff', event_type = 't.special' WHERE id = 1502;
             UPDATE dead_letters SET queue = 'z', fingerprint = 'fffffffffffffffe' WHERE id = 1503;
             UPDATE dead_letters SET queue = 'a', fingerprint = 'ffffffffffffffff' WHERE id IN (1504, 1505);
             UPDATE dead_letters SET event_type = 't.special' WHERE id = 1505",
        )
        .await?;
    for (arguments, expected) in [
        (&["--fingerprint", "ffffffffffffffff"][..], &[1502, 1504, 1505][..]),
        (&["--fingerprint", "00000000000005dc"], &[1500]),
        (&["--fingerprint", "ffffffffffffffff", "--type", "t.special"], &[1502, 1505]),
        (&["--queue", "z", "--fingerprint", "ffffffffffffffff"], &[1502]),
        (&["--queue", "z", "--type", "t.special"], &[1502]),
        (&["--queue", "z", "--kind", "failed"], &[1502, 1503]),
        (&["--queue", "y", "--kind", "failed"], &[]),
        (&["--kind", "expired"], &[1501]),
    ] {
        let listed = desk.command(&[&["list", "--json"], arguments].concat()).await?;
        assert_eq!(ids(&listed.json_lines()?), expected, "{arguments:?}: {listed:?}");
        ensure!(!listed.err.contains("causes exist"), "{arguments:?}: {listed:?}");
    }
    Ok(())
}

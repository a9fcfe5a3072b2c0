//! The number of rows that commands and views read with a million open dead letters.

use std::time::{Duration, Instant};

use pipeline_tests::dead_letter_queue::{DeadLetterQueue, QUEUE};
use pipeline_tests::desk::Rows;
use pipeline_tests::rows_read::{index_blocks_read, rows_read};

/// Rows that a view takes from the table, as its plan tells.
async fn rows_of_view(desk: &DeadLetterQueue, view: &str) -> anyhow::Result<f64> {
    let explain = format!("EXPLAIN (ANALYZE, TIMING OFF) SELECT * FROM {view}");
    let plan = desk.sql.query(&explain, &[]).await?;
    let actual = |line: &str, name: &str| {
        let (_, rest) = line.rsplit_once(name)?;
        rest.split([' ', ')']).next()?.parse::<f64>().ok()
    };
    let lines: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    let scans = lines.iter().filter(|line| line.contains(" on dead_letters"));
    Ok(scans.filter_map(|line| Some(actual(line, "rows=")? * actual(line, "loops=")?)).sum())
}

#[tokio::test]
async fn looks_at_a_million_dead_letters_read_little_more_than_they_show() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    for (kind, fingerprint) in [("failed", "00000000000000aa"), ("expired", "00000000000000bb")] {
        for event_type in ["order.created", "order.paid"] {
            let rows = Rows { kind, fingerprint, event_type, ..Rows::default() };
            desk.add_rows(250_000, rows).await?;
        }
    }
    let rare = Rows { kind: "rejected", fingerprint: "00000000000000cc", ..Rows::default() };
    let rare = desk.add_rows(1, rare).await?[0].to_string();
    let settled = desk.add_rows(100_000, Rows::default()).await?;
    let settle = "UPDATE dead_letters SET state = 'returned', settled_at = now() WHERE id >= $1";
    desk.sql.execute(settle, &[&settled[0]]).await?;
    desk.sql.batch_execute("VACUUM ANALYZE dead_letters").await?;
    for (arguments, most) in [
        // 50,000 are counted.
        (&["groups", "--json"][..], 60_000),
        (&["list", "--json"], 500),
        (&["list", "--queue", QUEUE, "--json"], 500),
        (&["list", "--fingerprint", "00000000000000bb", "--json"], 500),
        (&["list", "--fingerprint", "00000000000000cc", "--json"], 500),
        (&["list", "--kind", "rejected", "--json"], 500),
        (&["list", "--kind", "expired", "--type", "order.paid", "--json"], 1000),
        (&["list", "--state", "returned", "--json"], 500),
        (&["list", "--state", "discarded", "--json"], 500),
        (&["note", "--fingerprint", "00000000000000cc", "--text", "x", "--dry-run", "--json"], 500),
        (&["list", "--state", "any", "--message-id", "m250000", "--json"], 500),
        (&["show", &rare, "--json"], 500),
        (&["list", "--message-id", "m250000", "--json"], 500),
        (&["list", "--json", "--after", "500000"], 500),
        (&["list", "--queue", QUEUE, "--json", "--after", "500000"], 500),
        (&["list", "--kind", "expired", "--json", "--after", "700000"], 500),
        (&["list", "--state", "any", "--json", "--after", "500000"], 500),
        (&["list", "--state", "returned", "--json", "--after", "2026-02-01T22:25:31Z/7"], 500),
        // As many as are allowed, and as many once more to find out where that was.
        (&["list", "--error", "x", "--json", "--scan-limit", "1000"], 2500),
        (&["list", "--until", "1d", "--json", "--scan-limit", "1000"], 2500),
        (&["list", "--kind", "expired", "--until", "1d", "--json", "--scan-limit", "1000"], 2500),
        (&["list", "--state", "any", "--error", "x", "--json", "--scan-limit", "1000"], 2500),
        (&["list", "--state", "returned", "--error", "x", "--json", "--scan-limit", "1000"], 2500),
    ] {
        let before = rows_read(&desk.sql, "dead_letters").await?;
        let begun = Instant::now();
        let listed = desk.command(arguments).await?;
        let took = begun.elapsed();
        assert_eq!(listed.code, Some(0), "{listed:?}");
        let read = rows_read(&desk.sql, "dead_letters").await? - before;
        assert!(read <= most, "{arguments:?} read {read} rows");
        // A debug build on a busy machine.
        assert!(took < Duration::from_secs(10), "{arguments:?} took {took:?}");
    }
    // A small group is read without the large ones behind it, of which no row would match.
    let small = Rows { fingerprint: "0000000000000001", ..Rows::default() };
    desk.add_rows(3, small).await?;
    for arguments in [
        &["list", "--fingerprint", "0000000000000001", "--json"][..],
        &["list", "--kind", "failed", "--limit", "1", "--json", "--after", "1100001"],
    ] {
        let before = index_blocks_read(&desk.sql, "dead_letters").await?;
        let listed = desk.command(arguments).await?;
        assert_eq!(listed.code, Some(0), "{listed:?}");
        let read = index_blocks_read(&desk.sql, "dead_letters").await? - before;
        assert!(read <= 500, "{arguments:?} read {read} blocks of indexes");
    }
    for view in ["dead_letters_open_groups", "dead_letters_old"] {
        let read = rows_of_view(&desk, view).await?;
        assert!(read > 0.0 && read <= 30_000.0, "{view} read {read} rows");
    }
    let report = desk.command(&["groups", "--json"]).await?.json()?;
    assert_eq!(report["groups"][0]["is_capped"], true, "{report}");
    Ok(())
}

/// They are fewer than a page may read, so that to read and sort them all looks possible.
#[tokio::test]
async fn a_page_reads_few_rows_of_a_table_that_was_never_analysed() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    desk.sql.batch_execute("ALTER TABLE dead_letters SET (autovacuum_enabled = off)").await?;
    desk.add_rows(40_000, Rows::default()).await?;
    desk.add_rows(10_000, Rows { kind: "expired", ..Rows::default() }).await?;
    let settle = "UPDATE dead_letters SET state = 'returned', settled_at = now() WHERE id % 2 = 0";
    desk.sql.batch_execute(settle).await?;
    for arguments in [
        &["list"][..],
        &["list", "--after", "20000"],
        &["list", "--queue", QUEUE],
        &["list", "--kind", "expired"],
        &["list", "--kind", "expired", "--after", "45000"],
        &["list", "--state", "returned"],
        &["list", "--state", "any"],
        &["list", "--state", "any", "--after", "20000"],
    ] {
        let before = rows_read(&desk.sql, "dead_letters").await?;
        let listed = desk.command(&[arguments, &["--json"]].concat()).await?;
        assert_eq!(listed.code, Some(0), "{listed:?}");
        assert_eq!(listed.out.lines().count(), 50, "{arguments:?}");
        let read = rows_read(&desk.sql, "dead_letters").await? - before;
        assert!((1..=300).contains(&read), "{arguments:?} read {read} rows");
    }
    Ok(())
}

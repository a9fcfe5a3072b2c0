//! The number of rows that commands and views read with a million open dead letters.

use std::time::{Duration, Instant};

use pipeline_tests::dead_letter_queue::{DeadLetterQueue, QUEUE};
use pipeline_tests::desk::Rows;
use pipeline_tests::outbox::eventually;

/// Rows of the table that statements have fetched so far, and those of its indexes.
async fn rows_read(desk: &DeadLetterQueue) -> anyhow::Result<i64> {
    // A session reports what it has read when it ends, which may be after its client has.
    eventually("the command's session has ended", async || {
        let sessions = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND application_name LIKE 'dead-letters command%'";
        Ok(desk.count(sessions).await? == 0)
    })
    .await?;
    desk.sql.batch_execute("SELECT pg_stat_clear_snapshot()").await?;
    let sql = "SELECT ((SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_user_tables WHERE relname = 'dead_letters')
                     + (SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes WHERE relname = 'dead_letters'))::bigint";
    desk.count(sql).await
}

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
    ] {
        let before = rows_read(&desk).await?;
        let begun = Instant::now();
        let listed = desk.command(arguments).await?;
        let took = begun.elapsed();
        assert_eq!(listed.code, Some(0), "{listed:?}");
        let read = rows_read(&desk).await? - before;
        assert!(read <= most, "{arguments:?} read {read} rows");
        // A debug build on a busy machine.
        assert!(took < Duration::from_secs(10), "{arguments:?} took {took:?}");
    }
    for view in ["dead_letters_open_groups", "dead_letters_old"] {
        let read = rows_of_view(&desk, view).await?;
        assert!(read > 0.0 && read <= 30_000.0, "{view} read {read} rows");
    }
    let report = desk.command(&["groups", "--json"]).await?.json()?;
    assert_eq!(report["groups"][0]["is_capped"], true, "{report}");
    Ok(())
}

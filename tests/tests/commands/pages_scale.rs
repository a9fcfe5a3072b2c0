//! What a page of events reads of a table with many rows, whatever the statistics say.

use pipeline_tests::outbox::Outbox;
use pipeline_tests::rows_read::rows_read;

/// 50,000 events are published, then 30,000 are ready; the last ones are in the other states, five in
/// each. They are fewer than a page may read, so that to read and sort them all looks possible.
const ROWS: &str = "
    ALTER TABLE outbox SET (autovacuum_enabled = off);
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, published_at)
    SELECT 'order', i::text, 'order.created', '{}', now() FROM generate_series(1, 50000) AS i;
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
    SELECT 'order', i::text, 'order.created', '{}' FROM generate_series(1, 30000) AS i;
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at, error_kind, error_fingerprint)
    SELECT 'order', i::text, 'order.paid', '{}', attempts, at, CASE attempts WHEN 1 THEN 'returned' END,
           CASE attempts WHEN 1 THEN '00000000000000aa' END
    FROM generate_series(1, 5) AS i,
         (VALUES (0, now() + interval '1 h'), (0, 'infinity'), (1, now() + interval '1 h'), (1, 'infinity')) AS state (attempts, at)";

#[tokio::test]
async fn a_page_reads_few_rows_beside_those_that_it_shows() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.sql.batch_execute(ROWS).await?;
    for statistics in ["", "ANALYZE outbox"] {
        outbox.sql.batch_execute(statistics).await?;
        for (arguments, most, rows) in [
            (&[][..], 200, 50),
            (&["--after", "40000"], 200, 50),
            (&["--published", "--after", "40000"], 200, 50),
            (&["--pending"], 200, 50),
            (&["--pending", "--after", "60000"], 200, 50),
            (&["--waiting"], 50, 5),
            (&["--scheduled"], 50, 5),
            (&["--stuck"], 50, 5),
            (&["--parked"], 50, 5),
            (&["--kind", "returned"], 200, 10),
        ] {
            let before = rows_read(&outbox.sql, "outbox").await?;
            let listed = outbox.command(&[&["events", "--json"], arguments].concat()).await?;
            assert_eq!(listed.code, Some(0), "{listed:?}");
            assert_eq!(listed.out.lines().count(), rows, "{arguments:?}");
            let read = rows_read(&outbox.sql, "outbox").await? - before;
            assert!((1..=most).contains(&read), "{arguments:?} read {read} rows: {statistics:?}");
        }
    }
    Ok(())
}

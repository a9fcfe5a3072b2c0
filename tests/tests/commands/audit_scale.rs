//! A million audit rows, and what a look at them reads.

use pipeline_tests::outbox::Outbox;
use pipeline_tests::rows_read::rows_read;

/// A million rows of 1,000 operations, of which one is half of them; each of an event of its own.
const MILLION: &str = "
    INSERT INTO outbox_audit (actor, action, event_id, operation_id)
    SELECT 'alice', 'retry', lpad(i::text, 32, '0')::uuid,
           lpad(CASE WHEN i <= 500000 THEN 0 ELSE i / 501 END::text, 32, '0')::uuid
    FROM generate_series(1, 1000000) AS i";

#[tokio::test]
async fn a_look_at_a_million_audit_rows_reads_little_more_than_it_shows() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.sql.batch_execute(MILLION).await?;
    outbox.sql.batch_execute("VACUUM ANALYZE outbox_audit").await?;
    let uuid = |number: i64| format!("00000000-0000-0000-0000-{number:012}");
    let (event, large, small) = (&uuid(500_000), &uuid(0), &uuid(1200));
    for (arguments, most, rows) in [
        (&["--json"][..], 1000, 50),
        (&["--after", "500000", "--json"], 1000, 50),
        (&["--action", "retry", "--actor", "alice", "--json"], 1000, 50),
        (&["--event", event, "--json"], 1000, 1),
        (&["--operation", small, "--json"], 1000, 50),
        // From the latest row of all down to those of the operation.
        (&["--operation", large, "--after", "500000", "--json"], 1000, 50),
        // As many as are allowed, and as many once more to find out where that was.
        (&["--actor", "eve", "--scan-limit", "1000", "--json"], 2200, 0),
        (&["--until", "1d", "--scan-limit", "1000", "--json"], 2200, 0),
    ] {
        let before = rows_read(&outbox.sql, "outbox_audit").await?;
        let listed = outbox.command(&[&["audit"], arguments].concat()).await?;
        assert_eq!(listed.code, Some(0), "{listed:?}");
        assert_eq!(listed.out.lines().count(), rows, "{arguments:?}");
        let read = rows_read(&outbox.sql, "outbox_audit").await? - before;
        assert!((0..=most).contains(&read), "{arguments:?} read {read} rows");
    }
    Ok(())
}

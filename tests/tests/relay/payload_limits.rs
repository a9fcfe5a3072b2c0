//! Events whose payloads are huge, corrupt or slow to read: they are stuck with the reason, and the
//! others are published.

use pipeline_tests::event_contents::{
    add, add_plain, reason, reasons, until_the_others_are_published,
};
use pipeline_tests::outbox::{Outbox, eventually};

#[tokio::test]
async fn a_payload_of_more_than_128_mib_compressed_stops_no_poll() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    // Hardly compressible, as it repeats beyond the compression window; in an array, so that no
    // string is too long.
    outbox
        .sql
        .batch_execute(
            "ALTER TABLE outbox ALTER payload SET COMPRESSION lz4;
             INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
             SELECT 'order', 'huge', 'order.created', jsonb_build_object('note', repeat(note, 9) || repeat('x', 1000000))
             FROM (SELECT string_agg(md5(n::text), '') AS note FROM generate_series(1, 480000) AS n) AS random",
        )
        .await?;
    let overflows = "SELECT count(*) FROM outbox
                     WHERE pg_column_compression(payload) = 'lz4' AND pg_column_size(payload) > (1 << 27)";
    assert_eq!(outbox.count(overflows, &[]).await?, 1, "16 times as much is no 32-bit integer");
    add_plain(&outbox, 10).await?;
    until_the_others_are_published(&outbox, &mut outbox.relay(&[])?, 1).await?;
    let reason = reason(&outbox, "huge").await?;
    assert!(reason.starts_with("the payload is 13"), "{reason}");
    assert!(reason.ends_with(" bytes long, RELAY_MAX_MESSAGE_BYTES allows 16777216"), "{reason}");
    Ok(())
}

#[tokio::test]
async fn a_payload_that_would_fill_the_servers_memory_as_text_is_never_made_into_text()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.sql.batch_execute("ALTER TABLE outbox ALTER payload SET COMPRESSION lz4").await?;
    // Less than 1 MB in the table, and 1.2 GB as text, which PostgreSQL can't produce; it would try
    // for some ten seconds.
    add(&outbox, "huge", r"jsonb_build_object('note', repeat(E'\x01', 200000000))", "'{}'").await?;
    // Uncompressed, with six characters of text per byte: the reported size is that in the table.
    outbox
        .sql
        .batch_execute(
            "ALTER TABLE outbox ALTER payload SET STORAGE EXTERNAL, ALTER headers SET STORAGE EXTERNAL",
        )
        .await?;
    add(&outbox, "plain", r"jsonb_build_object('note', repeat(E'\x01', 70000000))", "'{}'").await?;
    add(&outbox, "headers", "'{}'", r"jsonb_build_object('note', repeat(E'\x01', 1000000))")
        .await?;
    add_plain(&outbox, 10).await?;
    until_the_others_are_published(&outbox, &mut outbox.relay(&[])?, 3).await?;
    for (aggregate, begin) in [
        (
            "huge",
            "the payload is more than 16777216 bytes long, RELAY_MAX_MESSAGE_BYTES allows 16777216",
        ),
        ("plain", "the payload is 700000"),
        ("headers", "the headers and the aggregate's name take 10000"),
    ] {
        let reason = reason(&outbox, aggregate).await?;
        assert!(reason.starts_with(begin), "{aggregate}: {reason}");
    }
    Ok(())
}

#[tokio::test]
async fn a_payload_of_as_many_bytes_as_are_allowed_is_published_and_one_of_a_byte_more_is_not()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    // Nine bytes around the text.
    add(&outbox, "most", "jsonb_build_object('a', repeat('x', 1989))", "'{}'").await?;
    add(&outbox, "more", "jsonb_build_object('a', repeat('x', 1990))", "'{}'").await?;
    let mut relay = outbox.relay(&["--relay-max-message-bytes", "1998"])?;
    until_the_others_are_published(&outbox, &mut relay, 1).await?;
    assert_eq!(
        reason(&outbox, "more").await?,
        "the payload is 1999 bytes long, RELAY_MAX_MESSAGE_BYTES allows 1998"
    );
    Ok(())
}

#[tokio::test]
async fn an_event_whose_text_takes_seconds_is_stuck_and_harms_no_other() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    add_plain(&outbox, 200).await?;
    // A few kilobytes in the table, and 262 MB as text.
    let digits = "(SELECT jsonb_agg(1e131071::numeric) FROM generate_series(1, 2000))";
    for aggregate in ["slow 1", "slow 2", "slow 3"] {
        add(&outbox, aggregate, digits, "'{}'").await?;
    }
    add_plain(&outbox, 200).await?;
    until_the_others_are_published(&outbox, &mut outbox.relay(&[])?, 3).await?;
    for (_, reason) in reasons(&outbox).await? {
        let reason = reason.unwrap_or_default();
        assert!(
            reason.ends_with("RELAY_MAX_MESSAGE_BYTES allows 16777216")
                || reason.starts_with("its contents can't be loaded: "),
            "{reason}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_event_that_is_damaged_on_the_disk_is_stuck_and_harms_no_other() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    add_plain(&outbox, 250).await?;
    let random = "jsonb_build_object('note', (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 300) AS n))";
    add(&outbox, "damaged", random, "'{}'").await?;
    add(&outbox, "whole", random, "'{}'").await?;
    add_plain(&outbox, 250).await?;
    outbox
        .sql
        .batch_execute(
            "CREATE EXTENSION pg_surgery;
             DO $$
             DECLARE toast regclass := (SELECT reltoastrelid FROM pg_class WHERE oid = 'outbox'::regclass);
                     tid tid;
             BEGIN
                 EXECUTE format('SELECT ctid FROM %s ORDER BY chunk_id, chunk_seq LIMIT 1', toast) INTO tid;
                 PERFORM heap_force_kill(toast, ARRAY[tid]);
             END $$",
        )
        .await?;
    until_the_others_are_published(&outbox, &mut outbox.relay(&[])?, 1).await?;
    let reason = reason(&outbox, "damaged").await?;
    assert!(
        reason.starts_with("its contents can't be loaded: ") && reason.contains("for toast value"),
        "{reason}"
    );
    Ok(())
}

#[tokio::test]
async fn events_wait_for_a_locked_table_and_none_is_stuck_over_it() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let mut relay = outbox.relay(&[])?;
    relay.until_idle().await?;
    add_plain(&outbox, 50).await?;
    let other = pipeline_tests::outbox::connect(&outbox.database.url).await?;
    other.batch_execute("BEGIN; LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE").await?;
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE application_name = 'outbox-relay' AND datname = current_database()
                   AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > interval '3 seconds'";
    let unlocked = async {
        eventually("the relay has waited for three seconds", async || {
            Ok(outbox.count(waits, &[]).await? >= 1)
        })
        .await?;
        anyhow::Ok(other.batch_execute("COMMIT").await?)
    };
    relay.work_until(unlocked).await?;
    until_the_others_are_published(&outbox, &mut relay, 0).await
}

//! A million failures, and what a look at them reads.

use pipeline_tests::failed_events::{NO_QUEUE, TOO_LONG, add_failed};
use pipeline_tests::outbox::{Outbox, connect};
use pipeline_tests::rows_read::rows_read;

#[tokio::test]
async fn looks_at_a_million_failures_read_little_more_than_they_show() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    for (kind, fingerprint) in [("returned", NO_QUEUE), ("refused", TOO_LONG)] {
        add_failed(&outbox, "order.created", [kind, fingerprint], 250_000).await?;
        add_failed(&outbox, "order.paid", [kind, fingerprint], 250_000).await?;
    }
    outbox.sql.batch_execute("VACUUM ANALYZE outbox").await?;
    let any = outbox.sql.query_one("SELECT event_id::text FROM outbox LIMIT 1", &[]).await?;
    let any: String = any.get(0);
    for (arguments, most) in [
        // 20,000 are counted, and what waits behind each is looked up.
        (&["failures", "--json"][..], 60_000),
        // Of pending and of stuck ones 100,000 are counted, and 50,000 are looked at for the rate.
        (&["status", "--json"], 300_000),
        (&["events", "--pending", "--json"], 1000),
        (&["pauses", "--json"], 1000),
        (&["show", &any, "--json"], 1000),
        (&["events", "--stuck", "--fingerprint", TOO_LONG, "--json"], 1000),
        (&["events", "--kind", "refused", "--type", "order.paid", "--json"], 1000),
        (&["events", "--stuck", "--json", "--limit", "10"], 1000),
        (&["events", "--json"], 1000),
        (&["events", "--json", "--after", "500000"], 1000),
        (&["events", "--pending", "--json", "--after", "500000"], 1000),
        (&["events", "--stuck", "--json", "--after", "500000"], 1000),
        (&["events", "--kind", "refused", "--json", "--after", "700000"], 1000),
        (&["events", "--waiting", "--json"], 100),
        (&["events", "--scheduled", "--json"], 100),
        (&["events", "--parked", "--json"], 100),
        // As many as are allowed, and as many once more to find out where that was.
        (&["events", "--published", "--json", "--scan-limit", "1000"], 2200),
        (&["events", "--aggregate", "x", "--json", "--scan-limit", "1000"], 2200),
        (&["events", "--pending", "--error", "x", "--json", "--scan-limit", "1000"], 2200),
        (&["events", "--stuck", "--error", "x", "--json", "--scan-limit", "1000"], 2200),
        (
            &[
                "events",
                "--stuck",
                "--until",
                "1d",
                "--json",
                "--after",
                "9999",
                "--scan-limit",
                "1000",
            ],
            2200,
        ),
        (&["events", "--kind", "refused", "--error", "x", "--json", "--scan-limit", "1000"], 2200),
    ] {
        let before = rows_read(&outbox.sql, "outbox").await?;
        let listed = outbox.command(arguments).await?;
        assert_eq!(listed.code, Some(0), "{listed:?}");
        let read = rows_read(&outbox.sql, "outbox").await? - before;
        assert!((0..=most).contains(&read), "{arguments:?} read {read} rows");
    }
    let before = rows_read(&outbox.sql, "outbox").await?;
    let view = "SELECT count(*), bool_and(is_capped) FROM outbox_failures";
    // In a session of its own, which reports at its end what it has read.
    let session = connect(&outbox.database.url).await?;
    session.batch_execute("SET application_name = 'outbox command view'").await?;
    let groups = session.query_one(view, &[]).await?;
    drop(session);
    assert_eq!((groups.get::<_, i64>(0), groups.get::<_, bool>(1)), (4, true));
    let read = rows_read(&outbox.sql, "outbox").await? - before;
    assert!((20_000..=60_000).contains(&read), "the view read {read} rows");
    Ok(())
}

#[tokio::test]
async fn scheduled_events_are_not_all_looked_at_for_failures_without_a_cause() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, next_attempt_at)
                  SELECT 'order', i, 'order.created', '{}', now() + interval '1 day' FROM generate_series(1, 50000) AS i;
                  VACUUM ANALYZE outbox";
    for statement in insert.split(';') {
        outbox.sql.batch_execute(statement).await?;
    }
    let before = rows_read(&outbox.sql, "outbox").await?;
    let listed = outbox.command(&["failures", "--json"]).await?.json()?;
    assert_eq!(listed["without_cause"], 0);
    assert_eq!(listed["without_cause_is_capped"], true);
    let read = rows_read(&outbox.sql, "outbox").await? - before;
    assert!((1..=25_000).contains(&read), "{read} rows were read");
    Ok(())
}

#[tokio::test]
async fn it_is_told_when_there_are_more_groups_than_can_be_asked_for() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at, error_kind, error_fingerprint)
                  SELECT 'order', i, 'order.created', '{}', 1, 'infinity', 'returned', lpad(i::text, 16, '0')
                  FROM generate_series($1::bigint, $2::bigint) AS i";
    for (from, to, has_more) in [(1_i64, 500_i64, false), (501, 501, true)] {
        outbox.sql.execute(insert, &[&from, &to]).await?;
        let listed = outbox.command(&["failures", "--limit", "500", "--json"]).await?.json()?;
        assert_eq!(listed["failures"].as_array().map(Vec::len), Some(500));
        assert_eq!(listed["has_more"], has_more, "{to} groups");
    }
    Ok(())
}

#[tokio::test]
async fn unsettled_events_whose_reasons_differ_in_ids_are_one_group() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let insert = "INSERT INTO outbox_unsettled (event_id, id, outcome, kind, reason)
                  SELECT gen_random_uuid(), i, outcome, kind, format(reason, i)
                  FROM generate_series(1, 300) AS i,
                       (VALUES ('published', 'refused', 'row %s is still referenced from table \"bills\"'),
                               ('published', 'refused', 'the month is closed'),
                               ('expired', 'refused', 'row %s can not be deleted')) AS noted (outcome, kind, reason);
                  INSERT INTO outbox_unsettled (event_id, id, outcome, kind) VALUES (gen_random_uuid(), 0, 'published', 'locked')";
    outbox.sql.batch_execute(insert).await?;
    let listed = outbox.command(&["failures", "--json"]).await?.json()?;
    let groups = listed["failures"].as_array().map_or(&[][..], Vec::as_slice);
    let mut counts: Vec<i64> = groups.iter().filter_map(|group| group["events"].as_i64()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 300, 300], "{listed}");
    assert!(groups.iter().all(|group| group["kind"] == "unsettled"), "{listed}");
    assert!(groups.iter().all(|group| group["is_capped"] == false), "{listed}");
    // `status` has no line for each row.
    let status = outbox.command(&["status", "--json"]).await?.json()?;
    assert_eq!(status["unsettled"].as_array().map(Vec::len), Some(3), "{}", status["unsettled"]);
    Ok(())
}

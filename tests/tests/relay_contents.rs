//! Events whose contents are huge, damaged, slow to read or not there at all: they are stuck with the reason, and the others arrive.

use anyhow::ensure;
use outbox_relay::Outcome;
use pipeline_tests::outbox::{Outbox, PATIENCE, Stepped, eventually};
use pipeline_tests::rabbitmqctl::rabbitmqctl;
use pipeline_tests::resident::Resident;

/// Steps until so many events are stuck and all others are published; the relay never says twice in a row that it can't work.
async fn until_the_others_are_published(
    outbox: &Outbox,
    relay: &mut Stepped,
    stuck: i64,
) -> anyhow::Result<()> {
    const ENDED: &str = "SELECT count(*) FROM outbox WHERE next_attempt_at = 'infinity'";
    let end = std::time::Instant::now() + PATIENCE;
    let (mut connected, mut last) = (false, Outcome::Unavailable);
    loop {
        let now = Box::pin(relay.relay.run_once()).await;
        ensure!(
            !connected || (last, now) != (Outcome::Unavailable, Outcome::Unavailable),
            "the relay can't work: {:?}",
            relay.health.statuses()
        );
        (connected, last) = (connected || now != Outcome::Unavailable, now);
        if outbox.count(ENDED, &[]).await? == stuck && outbox.pending().await? == stuck {
            return Ok(());
        }
        ensure!(
            std::time::Instant::now() < end,
            "the relay is {now:?}; stuck or waiting: {:?}",
            reasons(outbox).await?
        );
        if now != Outcome::Worked {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

/// Why events are stuck or wait, by their aggregate's id.
async fn reasons(outbox: &Outbox) -> anyhow::Result<Vec<(String, Option<String>)>> {
    let rows = "SELECT left(aggregate_id, 20), last_error FROM outbox WHERE published_at IS NULL ORDER BY id";
    let rows = outbox.sql.query(rows, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn reason(outbox: &Outbox, aggregate_id: &str) -> anyhow::Result<String> {
    let reasons = reasons(outbox).await?;
    let reason = reasons.into_iter().find(|(id, _)| id == aggregate_id);
    Ok(reason.and_then(|(_, reason)| reason).unwrap_or_default())
}

/// Adds an event with what `payload` and `headers` make in SQL.
async fn add(
    outbox: &Outbox,
    aggregate_id: &str,
    payload: &str,
    headers: &str,
) -> anyhow::Result<()> {
    let insert = format!(
        "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
         SELECT 'order', '{aggregate_id}', 'order.created', {payload}, {headers}"
    );
    Ok(outbox.sql.batch_execute(&insert).await?)
}

/// Adds plain events, each of an aggregate of its own.
async fn add_plain(outbox: &Outbox, count: i32) -> anyhow::Result<()> {
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                  SELECT 'plain', n::text, 'order.created', '{}' FROM generate_series(1, $1::integer) AS n";
    outbox.sql.execute(insert, &[&count]).await?;
    Ok(())
}

#[tokio::test]
async fn a_payload_of_more_than_128_mib_compressed_stops_no_look() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    // Hardly compressible, as the same comes again beyond the compression's window; in a container, so that no string is too long.
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
    // Less than 1 MB in the table, and 1.2 GB as text, which PostgreSQL can't make; it would try for some ten seconds.
    add(&outbox, "huge", r"jsonb_build_object('note', repeat(E'\x01', 200000000))", "'{}'").await?;
    // As they are, of which each byte is six in the text: what is said is how long they are in the table.
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
    // Nine of them around the text.
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
    let unlocked = async {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        other.batch_execute("COMMIT").await
    };
    relay.work_until(unlocked).await?;
    until_the_others_are_published(&outbox, &mut relay, 0).await
}

#[tokio::test]
async fn what_is_too_long_for_a_message_is_named() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let long = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 40000) AS n)";
    outbox
        .sql
        .batch_execute(&format!(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers) VALUES
             ('order', '1', {long}, '{{}}', '{{}}'),
             ({long}, '2', 'order.created', '{{}}', '{{}}'),
             ('order', '3' || {long}, 'order.created', '{{}}', '{{}}'),
             ('order', '4', 'order.created', '{{}}', jsonb_build_object('note', {long})),
             ('order', '5', 'order.created', '{{}}', jsonb_build_object('note', repeat('x', 1280000)))"
        ))
        .await?;
    add_plain(&outbox, 10).await?;
    until_the_others_are_published(&outbox, &mut outbox.relay(&[])?, 5).await?;
    let reasons: Vec<String> =
        reasons(&outbox).await?.into_iter().filter_map(|(_, reason)| reason).collect();
    assert_eq!(
        reasons[..3],
        [
            "event_type is the routing key and 1280000 bytes long, AMQP allows 255",
            "aggregate_type is 1280000 bytes long, the broker allows 30720",
            "aggregate_id is 1280001 bytes long, the broker allows 30720",
        ]
    );
    for (reason, size) in reasons[3..].iter().zip(["12800", "more than 30720"]) {
        let begin = format!("the headers and the aggregate's name take {size}");
        assert!(
            reason.starts_with(&begin) && reason.ends_with("the broker allows 30720"),
            "{reason}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_hundred_events_with_a_megabyte_of_headers_slow_nobody_and_leave_a_relay_small()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let relay = outbox.relay_process(&[]).await?;
    add_plain(&outbox, 1).await?;
    outbox.all_published().await?;
    let before = Resident::of(&relay)?;
    outbox
        .sql
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
             SELECT 'order', n::text, 'order.created', '{}', jsonb_build_object('note', note || n)
             FROM (SELECT string_agg(md5(n::text), '') AS note FROM generate_series(1, 32768) AS n) AS random,
                  generate_series(1, 100) AS n",
        )
        .await?;
    let begun = std::time::Instant::now();
    outbox.add("beside", "order.created").await?;
    let published =
        "SELECT count(*) FROM outbox WHERE aggregate_id = 'beside' AND published_at IS NOT NULL";
    eventually("the one beside them is published", async || {
        Ok(outbox.count(published, &[]).await? == 1)
    })
    .await?;
    let beside = begun.elapsed();
    let stuck = "SELECT count(*) FROM outbox
                 WHERE next_attempt_at = 'infinity' AND last_error LIKE 'the headers and the aggregate''s name take 104% bytes, the broker allows 30720'";
    eventually("all of them are stuck", async || {
        let done = outbox.count(stuck, &[]).await?;
        ensure!(done == 100, "{done}: {:?}", reasons(&outbox).await?.pop());
        Ok(true)
    })
    .await?;
    let after = Resident::of(&relay)?;
    assert!(after.most < before.most + 10, "{before:?}, {after:?}");
    assert!(beside.as_secs() < 3, "{beside:?}");
    Ok(())
}

#[tokio::test]
async fn a_megabyte_of_headers_is_published_where_the_brokers_frames_allow_it() -> anyhow::Result<()>
{
    let server = stack::RabbitServer::start_temporary().await?;
    rabbitmqctl(&server, &["eval", "application:set_env(rabbit, frame_max, 2097152)."])?;
    let database = stack::shared().await?.database("outbox").await?;
    let outbox = Outbox::on(database, server.vhost("outbox").await?).await?;
    outbox.queue("all", "#").await?;
    let url = format!("{}?frame_max=2097152", outbox.vhost.amqp_url);
    let relay = outbox.relay_process(&[("RABBITMQ_URL", url.as_str())]).await?;
    add(&outbox, "7", "'{}'", "jsonb_build_object('note', repeat('x', 1 << 20))").await?;
    outbox.all_published().await?;
    drop(relay);
    Ok(())
}

#[tokio::test]
async fn an_event_with_null_for_headers_is_published_without_any() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox
        .sql
        .batch_execute(
            "ALTER TABLE outbox ALTER headers DROP NOT NULL, ALTER payload DROP NOT NULL, ALTER attempts DROP NOT NULL,
                 ALTER created_at DROP NOT NULL",
        )
        .await?;
    add(&outbox, "7", "'{}'", "'null'").await?;
    add(&outbox, "7", "'{}'", "NULL").await?;
    add(&outbox, "8", "NULL", "NULL").await?;
    outbox.sql.batch_execute("UPDATE outbox SET attempts = NULL WHERE aggregate_id = '7'").await?;
    add(&outbox, "9", "'{}'", "'{}'").await?;
    outbox
        .sql
        .batch_execute("UPDATE outbox SET created_at = NULL WHERE aggregate_id = '9'")
        .await?;
    until_the_others_are_published(&outbox, &mut outbox.relay(&[])?, 2).await?;
    assert_eq!(reason(&outbox, "8").await?, "payload is NULL");
    assert_eq!(reason(&outbox, "9").await?, "created_at is not a time from 1970 to 9999");
    for message in outbox.take_all("all").await? {
        let headers = message.delivery.properties.headers().clone().unwrap_or_default();
        let own = headers.inner().keys().filter(|name| !name.as_str().starts_with("x-delivery"));
        assert_eq!(own.count(), 2, "the aggregate's name");
    }
    Ok(())
}

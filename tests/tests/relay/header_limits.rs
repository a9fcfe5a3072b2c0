//! Events whose headers or names are too long for a message, or null: they are stuck with the
//! reason, and the others are published.

use anyhow::{Context as _, ensure};
use pipeline_tests::event_contents::{
    add, add_plain, reason, reasons, until_the_others_are_published,
};
use pipeline_tests::outbox::{Outbox, eventually};
use pipeline_tests::rabbitmqctl::rabbitmqctl;
use pipeline_tests::rss::Rss;

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
    let before = Rss::of(&relay)?;
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
    let after = Rss::of(&relay)?;
    assert!(after.peak < before.peak + 10, "{before:?}, {after:?}");
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
    outbox.all_published().await.with_context(|| relay.log())?;
    assert_eq!(outbox.depth("all").await?, 1, "the queue has it");
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
        assert_eq!(own.count(), 3, "the aggregate's name and the row's id");
    }
    Ok(())
}

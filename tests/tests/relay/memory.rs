//! A relay's memory is bounded, whatever the backlog.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use anyhow::ensure;
use pipeline_tests::outbox::{Outbox, PATIENCE, eventually};
use pipeline_tests::pipeline::address;
use pipeline_tests::rabbitmqctl::rabbitmqctl;
use pipeline_tests::rss::Rss;
use stack::Service;

/// The limit of a relay's data in megabytes: the guaranteed 40 MB. `bench` measures the guarantee,
/// which includes the program, with a release build.
const MOST: u64 = 40;

/// Adds `rows` small events of distinct aggregates; with increasing ids, which the index takes
/// fastest.
async fn add_small(outbox: &Outbox, rows: i32) -> anyhow::Result<()> {
    let insert = "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload)
                  SELECT lpad(to_hex(n), 32, '0')::uuid, 'order', n::text, 'order.created', jsonb_build_object('number', n)
                  FROM generate_series(1, $1::integer) AS n";
    outbox.sql.execute(insert, &[&rows]).await?;
    Ok(())
}

/// Adds incompressible events of 1 MB each.
async fn add_big(outbox: &Outbox, rows: i32) -> anyhow::Result<()> {
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                  SELECT 'order', n::text, 'order.created', jsonb_build_object('note', note)
                  FROM (SELECT string_agg(md5(random()::text), '') AS note FROM generate_series(1, 31250)) AS note,
                       generate_series(1, $1::integer) AS n";
    outbox.sql.execute(insert, &[&rows]).await?;
    Ok(())
}

async fn published(outbox: &Outbox, events: i64) -> anyhow::Result<()> {
    let count = "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL";
    eventually("some are published", async || Ok(outbox.count(count, &[]).await? >= events)).await
}

fn bounded(relay: &Service) -> anyhow::Result<()> {
    let resident = Rss::of(relay)?;
    ensure!(resident.peak_of_data() < MOST, "{resident:?} MB: {}", relay.last_lines());
    Ok(())
}

#[tokio::test]
async fn a_million_pending_events_leave_a_relay_small() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    add_small(&outbox, 1_000_000).await?;
    let relay = outbox.relay_process(&[]).await?;
    // Some seconds of a debug build; by then it has polled as far ahead as it ever does.
    published(&outbox, 10_000).await?;
    bounded(&relay)
}

#[tokio::test]
async fn pending_events_of_a_megabyte_each_leave_a_relay_small() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    add_big(&outbox, 60).await?;
    let relay = outbox.relay_process(&[]).await?;
    outbox.all_published().await?;
    bounded(&relay)
}

#[tokio::test]
async fn a_payload_that_is_too_long_is_stuck_without_being_loaded() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let relay = outbox.relay_process(&[("RELAY_MAX_MESSAGE_BYTES", "1000000")]).await?;
    outbox.add("6", "order.created").await?;
    outbox.all_published().await?;
    let before = Rss::of(&relay)?;
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                  SELECT 'order', '7', 'order.created', jsonb_build_object('note', string_agg(md5(n::text), ''))
                  FROM generate_series(1, 1875000) AS n";
    outbox.sql.execute(insert, &[]).await?;
    outbox.add("7", "order.shipped").await?;
    outbox.add("8", "order.created").await?;
    let stuck = "SELECT last_error FROM outbox WHERE next_attempt_at = 'infinity'";
    eventually(
        "it is stuck and holds back the one behind it, and the others are published",
        async || {
            Ok(outbox.sql.query_opt(stuck, &[]).await?.is_some() && outbox.pending().await? == 2)
        },
    )
    .await?;
    let reason: String = outbox.sql.query_one(stuck, &[]).await?.get(0);
    assert!(
        reason.starts_with("the payload is 600000")
            && reason.ends_with(" bytes long, RELAY_MAX_MESSAGE_BYTES allows 1000000"),
        "{reason}"
    );
    let after = Rss::of(&relay)?;
    assert!(after.peak < before.peak + 10, "{before:?}, {after:?}");
    assert_eq!(outbox.depth("all").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_relay_stays_small_and_says_why_while_the_broker_has_publishers_wait()
-> anyhow::Result<()> {
    let server = stack::RabbitServer::start_temporary().await?;
    let database = stack::shared().await?.database("outbox").await?;
    let outbox = Outbox::on(database, server.vhost("outbox").await?).await?;
    outbox.queue("all", "#").await?;
    rabbitmqctl(&server, &["set_vm_memory_high_watermark", "0.0000001"])?;
    add_big(&outbox, 60).await?;
    add_small(&outbox, 100_000).await?;
    let relay = outbox.relay_process(&[]).await?;
    let ready = format!("{}/readyz", address(&relay, "operations port is open").await?);
    let http = stack::http_client()?;
    let says = async || -> anyhow::Result<String> {
        let answer = http.get(&ready).send().await?;
        let status = answer.status();
        Ok(format!("{status} {}", answer.text().await?))
    };
    let why = "the broker has told publishers to wait (memory or disk alarm)";
    let blocked = async || {
        let said = says().await?;
        anyhow::Ok(said.starts_with("503") && said.contains(why))
    };
    eventually("it says why it is not ready", &blocked).await?;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        bounded(&relay)?;
        ensure!(blocked().await?, "it goes on in spite of the alarm: {}", says().await?);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(outbox.pending().await?, 100_060, "nothing is confirmed");
    rabbitmqctl(&server, &["set_vm_memory_high_watermark", "0.9"])?;
    published(&outbox, 1000).await?;
    eventually("it is ready", async || Ok(says().await?.starts_with("200"))).await?;
    relay.sigterm()?;
    let status = relay.wait_exit(PATIENCE).await?;
    assert!(status.success(), "{status:?}: {}", relay.last_lines());
    Ok(())
}

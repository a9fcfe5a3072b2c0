//! A relay whose process is suspended loses its lanes, and can't break the order when it resumes.

#![expect(clippy::print_stdout, reason = "what was measured belongs to the test's output")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pipeline_tests::load::{Load, at_work};
use pipeline_tests::outbox::{Outbox, connect, eventually};
use pipeline_tests::paused_process::PausedProcess;
use stack::{ProcessId, Service};

fn freeze(relay: &Service) -> anyhow::Result<PausedProcess> {
    PausedProcess::new(ProcessId::of(relay.pid()).context("the relay runs")?)
}

#[tokio::test]
async fn a_frozen_relay_gives_its_lanes_up_within_15_seconds_and_disturbs_nothing_when_it_wakes_up()
-> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::listened_to().await?;
    let (_first, first) = outbox.joined_by(&[]).await?;
    let (second, _) = outbox.joined_by(&[]).await?;
    let mut load = Load::default();
    let frozen = load
        .during(&outbox, async {
            at_work(&deliveries).await?;
            freeze(&second)
        })
        .await?;
    gives_up(&outbox, first).await?;
    outbox.all_published().await.context("the other one publishes what was left")?;
    load.during(&outbox, async {
        at_work(&deliveries).await?;
        frozen.resume()?;
        // Among other relays, at once.
        at_work(&deliveries).await?;
        outbox.shared_among(2).await
    })
    .await?;
    load.arrived(&outbox, &deliveries).await?;
    assert!(second.is_running(), "{}", second.last_lines());
    Ok(())
}

/// It may hold events in its memory that the other relay has not published yet.
#[tokio::test]
async fn a_frozen_relay_that_wakes_up_while_its_events_are_published_keeps_their_order()
-> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::listened_to().await?;
    let (_first, first) = outbox.joined_by(&[]).await?;
    let (second, _) = outbox.joined_by(&[]).await?;
    let mut load = Load::default();
    load.during(&outbox, async {
        at_work(&deliveries).await?;
        let frozen = freeze(&second)?;
        gives_up(&outbox, first).await?;
        ensure!(outbox.pending().await? > 0, "nothing was left for the other one");
        frozen.resume()?;
        at_work(&deliveries).await?;
        outbox.shared_among(2).await
    })
    .await?;
    load.arrived(&outbox, &deliveries).await?;
    ensure!(second.is_running(), "{}", second.last_lines());
    Ok(())
}

/// Waits until the relay whose session is `heir` owns all lanes.
async fn gives_up(outbox: &Outbox, heir: i32) -> anyhow::Result<()> {
    let frozen = Instant::now();
    eventually("the other one owns all lanes", async || {
        Ok(outbox.shares().await?.get(&heir).is_some_and(|lanes| lanes.len() == 64))
    })
    .await?;
    let took = frozen.elapsed();
    println!("it gave its lanes up after {took:?}");
    ensure!(took < Duration::from_secs(15), "it took {took:?}");
    Ok(())
}

#[tokio::test]
async fn a_relay_that_is_frozen_while_the_server_sends_it_much_gives_its_lanes_up_as_well()
-> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::listened_to().await?;
    let (_first, first) = outbox.joined_by(&[]).await?;
    let (second, pid) = outbox.joined_by(&[]).await?;
    // 12 incompressible MB in one of its lanes, and an event behind them.
    let lanes = &outbox.shares().await?[&pid];
    let add = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers, attempts, next_attempt_at)
               SELECT 'order', id, 'order.created', jsonb_build_object('much', much), '{\"number\": 1}', 1, now() + interval '1 h'
               FROM (SELECT string_agg(gen_random_uuid()::text, '') AS much FROM generate_series(1, 330000)) AS much,
                    (SELECT n::text AS id FROM generate_series(1, 1000) AS n
                     WHERE (hashtextextended(n::text, hashtextextended('order', 0)) & 63) = ANY ($1) LIMIT 1) AS id";
    outbox.sql.execute(add, &[lanes]).await?;
    let behind = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
                  SELECT aggregate_type, aggregate_id, event_type, '{}', '{\"number\": 2}' FROM outbox";
    outbox.sql.execute(behind, &[]).await?;
    // Reading the payload waits.
    let holder = connect(&outbox.database.url).await?;
    let toast = "SELECT indexrelid::regclass::text FROM pg_index
                 WHERE indrelid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'outbox'::regclass)";
    let index: String = holder.query_one(toast, &[]).await?.get(0);
    holder.batch_execute(&format!("BEGIN; REINDEX INDEX {index}")).await?;
    outbox
        .sql
        .execute("UPDATE outbox SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL", &[])
        .await?;
    let waits = async |event: &str| {
        eventually("the relay's session waits", async || {
            let waits = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = $2";
            Ok(outbox.count(waits, &[&pid, &event]).await? == 1)
        })
        .await
    };
    waits("relation").await?;
    let frozen = freeze(&second)?;
    holder.batch_execute("COMMIT").await?;
    waits("ClientWrite").await?;
    gives_up(&outbox, first).await?;
    outbox.all_published().await?;
    frozen.resume()?;
    outbox.shared_among(2).await.with_context(|| second.log())?;
    outbox.every_lane_is_served().await?;
    Load::default().arrived(&outbox, &deliveries).await
}

//! Any number of relays share the lanes by themselves, whatever becomes of one of them.

#![expect(clippy::print_stdout, reason = "what was measured belongs to the test's output")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pipeline_tests::deliveries::Deliveries;
use pipeline_tests::frozen::Frozen;
use pipeline_tests::load::Load;
use pipeline_tests::outbox::{Outbox, PATIENCE, connect, eventually};
use stack::{ProcessId, Service};

/// An outbox with a queue, and somebody who listens to it.
async fn listened_to() -> anyhow::Result<(Outbox, Deliveries)> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let deliveries = Deliveries::collect(&outbox.vhost.amqp_url, "all");
    Ok((outbox, deliveries))
}

/// Adds one event in each lane, and waits until they are published.
async fn every_lane_is_served(outbox: &Outbox) -> anyhow::Result<()> {
    let add = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
               SELECT 'ping', min(id), 'order.created', '{}', '{\"number\": 1}'
               FROM (SELECT gen_random_uuid()::text AS id FROM generate_series(1, 2000)) AS named
               GROUP BY hashtextextended(id, hashtextextended('ping', 0)) & 63";
    outbox.sql.batch_execute(add).await?;
    let highest = outbox.count("SELECT max(id) FROM outbox", &[]).await?;
    eventually("every lane is served", async || {
        let pending = "SELECT count(*) FROM outbox WHERE published_at IS NULL AND id <= $1";
        Ok(outbox.count(pending, &[&highest]).await? == 0)
    })
    .await
}

/// Waits until more messages have come than there were.
async fn at_work(deliveries: &Deliveries) -> anyhow::Result<()> {
    let before = deliveries.count();
    eventually("messages come", async || Ok(deliveries.count() > before + 500)).await
}

fn freeze(relay: &Service) -> anyhow::Result<Frozen> {
    Frozen::new(ProcessId::of(relay.pid()).context("the relay runs")?)
}

#[tokio::test]
async fn three_relays_share_the_lanes_and_deliver_each_event_once_and_in_order()
-> anyhow::Result<()> {
    let (outbox, deliveries) = listened_to().await?;
    let (first, _) = outbox.joined_by(&[]).await?;
    let (second, _) = outbox.joined_by(&[]).await?;
    let (third, _) = outbox.joined_by(&[]).await?;
    let mut load = Load::default();
    let before = outbox.shares().await?;
    load.during(&outbox, async {
        for _ in 0..4 {
            at_work(&deliveries).await?;
        }
        Ok(())
    })
    .await?;
    load.arrived(&outbox, &deliveries).await?;
    assert_eq!(deliveries.count(), outbox.event_ids().await?.len(), "nothing was sent twice");
    assert_eq!(outbox.shares().await?, before, "no lane changed hands for nothing");
    for relay in [first, second, third] {
        assert!(relay.is_running(), "{}", relay.last_lines());
    }
    Ok(())
}

#[tokio::test]
async fn a_relay_that_joins_under_load_has_its_share_within_5_seconds() -> anyhow::Result<()> {
    let (outbox, deliveries) = listened_to().await?;
    let _first = outbox.joined_by(&[]).await?;
    let mut load = Load::default();
    let mut relays = Vec::new();
    load.during(&outbox, async {
        at_work(&deliveries).await?;
        for _ in 0..3 {
            let started = Instant::now();
            relays.push(outbox.joined_by(&[]).await?);
            let took = started.elapsed();
            println!("it had its share {took:?} after it was started");
            ensure!(took < Duration::from_secs(5), "it took {took:?}");
        }
        at_work(&deliveries).await
    })
    .await?;
    load.arrived(&outbox, &deliveries).await?;
    assert_eq!(deliveries.count(), outbox.event_ids().await?.len(), "nothing was sent twice");
    Ok(())
}

#[tokio::test]
async fn the_lanes_of_a_killed_relay_are_served_again_within_2_seconds() -> anyhow::Result<()> {
    let (outbox, deliveries) = listened_to().await?;
    let _first = outbox.joined_by(&[]).await?;
    let mut load = Load::default();
    for round in 0..4 {
        let (second, _) = outbox.joined_by(&[]).await?;
        let kill = async {
            at_work(&deliveries).await?;
            kill(&outbox, &second).await
        };
        let took = if round % 2 == 0 {
            load.during(&outbox, kill).await?
        } else {
            kill_idle(&outbox, &second).await?
        };
        println!("served again after {took:?}");
        assert!(took < Duration::from_secs(2), "it took {took:?}");
    }
    load.arrived(&outbox, &deliveries).await
}

async fn kill_idle(outbox: &Outbox, relay: &Service) -> anyhow::Result<Duration> {
    outbox.all_published().await?;
    kill(outbox, relay).await
}

/// Kills a relay; says how long it took until all lanes were served again.
async fn kill(outbox: &Outbox, relay: &Service) -> anyhow::Result<Duration> {
    relay.sigkill()?;
    let killed = Instant::now();
    every_lane_is_served(outbox).await?;
    let took = killed.elapsed();
    outbox.shared_among(1).await?;
    Ok(took)
}

#[tokio::test]
async fn a_relay_that_is_told_to_stop_hands_over_at_once_and_nothing_is_sent_twice()
-> anyhow::Result<()> {
    let (outbox, deliveries) = listened_to().await?;
    let _first = outbox.joined_by(&[]).await?;
    let mut load = Load::default();
    for _ in 0..3 {
        let (second, _) = outbox.joined_by(&[]).await?;
        load.during(&outbox, async {
            at_work(&deliveries).await?;
            second.sigterm()?;
            let told = Instant::now();
            every_lane_is_served(&outbox).await?;
            let took = told.elapsed();
            println!("handed over after {took:?}");
            ensure!(took < Duration::from_secs(2), "it took {took:?}");
            let status = second.wait_exit(PATIENCE).await?;
            ensure!(status.success(), "{status:?}: {}", second.last_lines());
            outbox.shared_among(1).await
        })
        .await?;
    }
    load.arrived(&outbox, &deliveries).await?;
    assert_eq!(deliveries.count(), outbox.event_ids().await?.len(), "nothing was sent twice");
    Ok(())
}

#[tokio::test]
async fn a_frozen_relay_gives_its_lanes_up_within_15_seconds_and_disturbs_nothing_when_it_wakes_up()
-> anyhow::Result<()> {
    let (outbox, deliveries) = listened_to().await?;
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
        frozen.thaw()?;
        // Among others, at once.
        at_work(&deliveries).await?;
        outbox.shared_among(2).await
    })
    .await?;
    load.arrived(&outbox, &deliveries).await?;
    assert!(second.is_running(), "{}", second.last_lines());
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
    let (outbox, deliveries) = listened_to().await?;
    let (_first, first) = outbox.joined_by(&[]).await?;
    let (second, pid) = outbox.joined_by(&[]).await?;
    // 12 MB that can't be compressed, in one of its lanes, and an event behind them.
    let lanes = &outbox.shares().await?[&pid];
    let add = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers, next_attempt_at)
               SELECT 'order', id, 'order.created', jsonb_build_object('much', much), '{\"number\": 1}', now() + interval '1 h'
               FROM (SELECT string_agg(gen_random_uuid()::text, '') AS much FROM generate_series(1, 330000)) AS much,
                    (SELECT n::text AS id FROM generate_series(1, 1000) AS n
                     WHERE (hashtextextended(n::text, hashtextextended('order', 0)) & 63) = ANY ($1) LIMIT 1) AS id";
    outbox.sql.execute(add, &[lanes]).await?;
    let behind = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
                  SELECT aggregate_type, aggregate_id, event_type, '{}', '{\"number\": 2}' FROM outbox";
    outbox.sql.execute(behind, &[]).await?;
    // Whoever reads the payload has to wait.
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
    frozen.thaw()?;
    outbox.shared_among(2).await.with_context(|| second.log())?;
    every_lane_is_served(&outbox).await?;
    Load::default().arrived(&outbox, &deliveries).await
}

#[tokio::test]
async fn a_relay_whose_session_is_ended_takes_part_again_and_order_is_kept() -> anyhow::Result<()> {
    let (outbox, deliveries) = listened_to().await?;
    let (_first, mut pid) = outbox.joined_by(&[]).await?;
    let (second, _) = outbox.joined_by(&[]).await?;
    let mut load = Load::default();
    load.during(&outbox, async {
        for _ in 0..4 {
            at_work(&deliveries).await?;
            let end = "SELECT count(*) FROM (SELECT pg_terminate_backend($1)) AS ended";
            outbox.count(end, &[&pid]).await?;
            eventually("its lanes are the other's or its own again", async || {
                Ok(!outbox.shares().await?.contains_key(&pid))
            })
            .await?;
            let shares = outbox.shared_among(2).await?;
            pid = shares.into_keys().max().context("there are two")?;
        }
        Ok(())
    })
    .await?;
    load.arrived(&outbox, &deliveries).await?;
    assert!(second.is_running(), "{}", second.last_lines());
    Ok(())
}

#[tokio::test]
async fn a_relay_that_can_not_reach_the_broker_leaves_all_lanes_to_the_others() -> anyhow::Result<()>
{
    let (outbox, _deliveries) = listened_to().await?;
    let nowhere = format!("amqp://127.0.0.1:{}", stack::free_port()?);
    let cut_off = outbox.relay_process(&[("RABBITMQ_URL", &nowhere)]).await?;
    cut_off.wait_for_line("rabbitmq is not reachable", PATIENCE).await?;
    assert_eq!(outbox.shares().await?.len(), 0, "{}", cut_off.last_lines());
    let (_other, pid) = outbox.joined_by(&[]).await?;
    every_lane_is_served(&outbox).await?;
    assert_eq!(outbox.shares().await?[&pid].len(), 64);
    assert!(cut_off.is_running(), "{}", cut_off.last_lines());
    Ok(())
}

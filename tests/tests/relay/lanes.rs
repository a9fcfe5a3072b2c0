//! Any number of relays share the lanes, even when one of them fails.

#![expect(clippy::print_stdout, reason = "what was measured belongs to the test's output")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pipeline_tests::closed_port::ClosedPort;
use pipeline_tests::load::{Load, at_work};
use pipeline_tests::outbox::{Outbox, PATIENCE, eventually};
use stack::Service;

/// Half a second on an idle machine; longer with other tests and a backlog.
const ON_A_BUSY_MACHINE: Duration = Duration::from_secs(8);

#[tokio::test]
async fn three_relays_share_the_lanes_and_deliver_each_event_once_and_in_order()
-> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::listened_to().await?;
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
    let (outbox, deliveries) = Outbox::listened_to().await?;
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
    let (outbox, deliveries) = Outbox::listened_to().await?;
    let _first = outbox.joined_by(&[]).await?;
    let mut load = Load::default();
    let mut quickest = Duration::MAX;
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
        assert!(took < ON_A_BUSY_MACHINE, "it took {took:?}");
        quickest = quickest.min(took);
    }
    assert!(quickest < Duration::from_secs(2), "it took {quickest:?}");
    load.arrived(&outbox, &deliveries).await
}

async fn kill_idle(outbox: &Outbox, relay: &Service) -> anyhow::Result<Duration> {
    outbox.all_published().await?;
    kill(outbox, relay).await
}

/// Kills a relay. Returns the time until all lanes were served again.
async fn kill(outbox: &Outbox, relay: &Service) -> anyhow::Result<Duration> {
    relay.sigkill()?;
    let killed = Instant::now();
    outbox.every_lane_is_served().await?;
    let took = killed.elapsed();
    outbox.shared_among(1).await?;
    Ok(took)
}

#[tokio::test]
async fn a_relay_that_is_told_to_stop_hands_over_at_once_and_nothing_is_sent_twice()
-> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::listened_to().await?;
    let _first = outbox.joined_by(&[]).await?;
    let mut load = Load::default();
    let mut quickest = Duration::MAX;
    for _ in 0..3 {
        let (second, _) = outbox.joined_by(&[]).await?;
        load.during(&outbox, async {
            at_work(&deliveries).await?;
            second.sigterm()?;
            let told = Instant::now();
            // Owned, as a backlog may delay the events.
            outbox.shared_among(1).await?;
            let took = told.elapsed();
            println!("handed over after {took:?}");
            ensure!(took < ON_A_BUSY_MACHINE, "it took {took:?}");
            quickest = quickest.min(took);
            let status = second.wait_exit(PATIENCE).await?;
            ensure!(status.success(), "{status:?}: {}", second.last_lines());
            outbox.shared_among(1).await
        })
        .await?;
    }
    // The other relay lists the relays twice a second.
    assert!(quickest < Duration::from_secs(1), "it took {quickest:?}");
    load.arrived(&outbox, &deliveries).await?;
    assert_eq!(deliveries.count(), outbox.event_ids().await?.len(), "nothing was sent twice");
    Ok(())
}

#[tokio::test]
async fn a_relay_whose_session_is_ended_takes_part_again_and_order_is_kept() -> anyhow::Result<()> {
    let (outbox, deliveries) = Outbox::listened_to().await?;
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
    let (outbox, _deliveries) = Outbox::listened_to().await?;
    let closed = ClosedPort::reserve()?;
    let nowhere = format!("amqp://{}", closed.address());
    let cut_off = outbox.relay_process(&[("RABBITMQ_URL", &nowhere)]).await?;
    cut_off.wait_for_line("rabbitmq is not reachable", PATIENCE).await?;
    assert_eq!(outbox.shares().await?.len(), 0, "{}", cut_off.last_lines());
    let (_other, pid) = outbox.joined_by(&[]).await?;
    outbox.every_lane_is_served().await?;
    assert_eq!(outbox.shares().await?[&pid].len(), 64);
    assert!(cut_off.is_running(), "{}", cut_off.last_lines());
    Ok(())
}

#[tokio::test]
async fn advisory_locks_of_other_programs_take_no_lane_away() -> anyhow::Result<()> {
    let (outbox, _deliveries) = Outbox::listened_to().await?;
    // With the table's oid, and numbers below and above those of relays.
    let lock = "SELECT pg_advisory_lock(number, 'outbox'::regclass::oid::integer)
                FROM unnest(ARRAY[-1, 3, 1869968384 - 61, 1869968384 + 128 + 3]) AS other (number)";
    outbox.sql.execute(lock, &[]).await?;
    let (_relay, pid) = outbox.joined_by(&[]).await?;
    outbox.every_lane_is_served().await?;
    let shares = outbox.shares().await?;
    assert_eq!((shares.len(), shares[&pid].len()), (1, 64), "{shares:?}");
    Ok(())
}

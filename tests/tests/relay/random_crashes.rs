//! Relays that are killed and started at random: nothing is lost, and every aggregate keeps its
//! order.
//!
//! `TEST_SEED` repeats a run, `CHAOS_SECONDS` sets its length.

#![expect(clippy::print_stdout, reason = "what was measured belongs to the test's output")]

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lapin::types::FieldTable;
use pipeline_tests::deliveries::{Delivery, first_of_each};
use pipeline_tests::outbox::{EXCHANGE, Outbox, PATIENCE};
use pipeline_tests::queue_order::drain_in_order;
use pipeline_tests::seed::seed;
use pipeline_tests::writer_transaction::make_aggregates;
use pipeline_tests::writers::Writers;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use stack::{PostgresServer, RabbitServer, Service};

const AGGREGATES: usize = 500;
const EVENTS_EACH: i64 = 100;

/// Failed events are retried soon.
const SETTINGS: [(&str, &str); 2] = [("RELAY_WINDOW", "100"), ("RELAY_BACKOFF_MAX", "2s")];

#[expect(clippy::disallowed_methods, reason = "how long to run")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_killed_at_random_through_restarts_lose_nothing_and_keep_every_aggregates_order()
-> anyhow::Result<()> {
    let seed = seed()?;
    let seconds = std::env::var("CHAOS_SECONDS").map_or(Ok(60), |given| given.parse())?;
    let duration = Duration::from_secs(seconds);
    let (mut broker, mut server) =
        tokio::try_join!(RabbitServer::start_temporary(), PostgresServer::start_temporary())?;
    let database = server.database("outbox").await?;
    let mut outbox = Outbox::on(database, broker.vhost("outbox").await?).await?;
    // Nothing is consumed from it before the end.
    outbox.queue("all", "#").await?;
    // RabbitMQ 3.10 persists the registration of a new quorum queue after a delay: a crash before
    // that loses the queue, which is not tested here. A clean stop persists it.
    broker.stop_gracefully().await?;
    broker.start().await?;
    outbox.reconnect().await?;
    make_aggregates(&outbox.sql).await?;
    let writers = Writers {
        url: outbox.database.url.clone(),
        seed,
        writers: 16,
        aggregates: AGGREGATES,
        events_each: EVENTS_EACH,
        spread: duration,
        longest: Duration::from_millis(300),
    };

    let mut rng = StdRng::seed_from_u64(!seed);
    let mut relays = [None, None, None];
    let pauses = [(); 3].map(|()| Duration::from_millis(rng.random_range(0..2000)));
    let outages = async {
        tokio::time::sleep(duration / 8).await;
        unheard(&outbox, pauses[0]).await?;
        tokio::time::sleep(duration / 8).await;
        broker.kill().await?;
        tokio::time::sleep(pauses[1]).await;
        broker.start().await?;
        tokio::time::sleep(duration / 4).await;
        server.stop_immediately().await?;
        tokio::time::sleep(pauses[2]).await;
        server.start().await
    };
    let killing = kill_and_start(&outbox, &mut relays, &mut rng, duration);
    let ((), (), kills) = tokio::try_join!(writers.write(), outages, killing)?;
    println!("killed {kills} relays");
    ensure!(kills >= seconds / 10, "only {kills} relays were killed");

    outbox.reconnect().await?;
    for relay in &mut relays {
        if relay.is_none() {
            *relay = Some(outbox.relay_process(&SETTINGS).await?);
        }
    }
    let all_published = outbox.all_published().await;
    let relays: Vec<Service> = relays.into_iter().flatten().collect();
    for relay in &relays {
        ensure!(relay.is_running(), "it ended by itself: {}", relay.last_lines());
        relay.sigkill()?;
        relay.wait_exit(PATIENCE).await?;
    }
    let got = drain_in_order(&outbox, "all").await?;
    println!("{} messages", got.len());
    // Events in the wrong order, or missing ones, may explain why the rest is missing.
    in_order(&got)?;
    all_published.with_context(|| relays.iter().map(Service::last_lines).collect::<String>())?;
    nothing_is_missing(&outbox, &got).await
}

/// For a while no queue is bound: every attempt fails, and holds back the events behind it.
async fn unheard(outbox: &Outbox, pause: Duration) -> anyhow::Result<()> {
    let (queue, exchange, key) = ("all".into(), EXCHANGE.into(), "#".into());
    outbox.channel.queue_unbind(queue, exchange, key, FieldTable::default()).await?;
    tokio::time::sleep(pause).await;
    outbox.bind("all", "#").await
}

/// Kills and starts relays for a while. Returns how many were killed.
async fn kill_and_start(
    outbox: &Outbox,
    relays: &mut [Option<Service>; 3],
    rng: &mut StdRng,
    duration: Duration,
) -> anyhow::Result<u64> {
    let end = Instant::now() + duration;
    for relay in relays.iter_mut() {
        *relay = Some(outbox.relay_process(&SETTINGS).await?);
    }
    let mut kills = 0;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(rng.random_range(200..1500))).await;
        let slot = rng.random_range(0..relays.len());
        if let Some(relay) = relays[slot].take() {
            ensure!(relay.is_running(), "it ended by itself: {}", relay.last_lines());
            relay.sigkill()?;
            relay.wait_exit(PATIENCE).await?;
            kills += 1;
        }
        if rng.random_bool(0.6) {
            relays[slot] = Some(outbox.relay_process(&SETTINGS).await?);
        }
    }
    Ok(kills)
}

/// Fails unless each aggregate's delivered events are in order without gaps.
fn in_order(got: &[Delivery]) -> anyhow::Result<()> {
    for (aggregate, numbers) in first_of_each(got.to_vec()) {
        let in_order = numbers.iter().copied().eq(1..=i64::try_from(numbers.len())?);
        let story = got.iter().filter(|one| one.aggregate == aggregate).map(|one| one.number);
        ensure!(
            in_order,
            "aggregate {aggregate} reached the broker as {:?}",
            story.collect::<Vec<_>>()
        );
    }
    Ok(())
}

/// Fails unless exactly the committed events were delivered.
async fn nothing_is_missing(outbox: &Outbox, got: &[Delivery]) -> anyhow::Result<()> {
    let ids: HashSet<_> = got.iter().map(|delivery| delivery.event_id).collect();
    let committed = outbox.event_ids().await?;
    ensure!(committed.is_subset(&ids), "lost: {:?}", committed.difference(&ids));
    ensure!(ids.is_subset(&committed), "rolled back: {:?}", ids.difference(&committed));

    let aggregates = outbox.sql.query("SELECT id, events FROM aggregates", &[]).await?;
    let events: HashMap<String, i64> =
        aggregates.iter().map(|row| (row.get(0), row.get(1))).collect();
    let first = first_of_each(got.to_vec());
    ensure!(first.len() == AGGREGATES, "{} aggregates", first.len());
    for (aggregate, numbers) in first {
        let written = events[&aggregate];
        ensure!(written >= EVENTS_EACH && i64::try_from(numbers.len())? == written, "{aggregate}");
    }
    Ok(())
}

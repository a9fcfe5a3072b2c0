//! Relays that come and go at random: nothing is lost, and every aggregate keeps its order.
//!
//! `TEST_SEED` repeats a run, `CHAOS_SECONDS` shortens or lengthens it.

#![expect(clippy::print_stdout, reason = "what was measured belongs to the test's output")]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pipeline_tests::deliveries::Deliveries;
use pipeline_tests::outbox::{Outbox, PATIENCE, eventually};
use pipeline_tests::seed::seed;
use pipeline_tests::turn::make_aggregates;
use pipeline_tests::writers::Writers;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use stack::{PostgresServer, RabbitServer, Service};

const AGGREGATES: usize = 500;
const EVENTS_EACH: i64 = 100;

/// What fails here is tried again soon.
const SETTINGS: [(&str, &str); 2] = [("RELAY_WINDOW", "100"), ("RELAY_BACKOFF_MAX", "2s")];

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
    outbox.queue("all", "#").await?;
    // RabbitMQ 3.10 writes a new quorum queue's registration after a while: a crash before that loses the queue itself,
    // which is not what is tried here. A stop writes it.
    broker.stop_gracefully().await?;
    broker.start().await?;
    outbox.reconnect().await?;
    make_aggregates(&outbox.sql).await?;
    let mut deliveries = Deliveries::collect(&outbox.vhost.amqp_url, "all");
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
    let pauses = [rng.random_range(0..2000), rng.random_range(0..2000)].map(Duration::from_millis);
    let outages = async {
        tokio::time::sleep(duration / 4).await;
        // A broker that was killed hands out new messages before those that a consumer had not acknowledged: so does
        // RabbitMQ 3.10. What is tried here is the order in which it gets them.
        deliveries.pause().await?;
        broker.kill().await?;
        tokio::time::sleep(pauses[0]).await;
        broker.start().await?;
        deliveries.resume();
        tokio::time::sleep(duration / 4).await;
        server.stop_immediately().await?;
        tokio::time::sleep(pauses[1]).await;
        server.start().await
    };
    let killing = kill_and_start(&outbox, &mut relays, &mut rng, duration);
    let ((), (), kills) = tokio::try_join!(writers.write(), outages, killing)?;
    println!("killed {kills} relays");

    outbox.reconnect().await?;
    for relay in &mut relays {
        if relay.is_none() {
            *relay = Some(outbox.relay_process(&SETTINGS).await?);
        }
    }
    let logs = || relays.iter().flatten().map(Service::last_lines).collect::<String>();
    outbox.all_published().await.with_context(logs)?;
    in_order(&outbox, &deliveries).await
}

/// Kills and starts relays for a while; says how many were killed.
async fn kill_and_start(
    outbox: &Outbox,
    relays: &mut [Option<Service>; 3],
    rng: &mut StdRng,
    duration: Duration,
) -> anyhow::Result<usize> {
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

/// Fails unless every committed event was delivered, nothing else was, and each aggregate's events came in the order of their commits.
async fn in_order(outbox: &Outbox, deliveries: &Deliveries) -> anyhow::Result<()> {
    let committed = outbox.event_ids().await?;
    eventually("every event is delivered", async || {
        Ok(committed.is_subset(&deliveries.event_ids()))
    })
    .await?;
    assert_eq!(deliveries.event_ids(), committed, "nothing that was rolled back");
    println!("{} messages for {} events", deliveries.count(), committed.len());

    let aggregates = outbox.sql.query("SELECT id, events FROM aggregates", &[]).await?;
    let events: HashMap<String, i64> =
        aggregates.iter().map(|row| (row.get(0), row.get(1))).collect();
    let first = deliveries.first_deliveries();
    assert_eq!(first.len(), AGGREGATES);
    for (aggregate, numbers) in first {
        assert!(events[&aggregate] >= EVENTS_EACH, "{aggregate}: {}", events[&aggregate]);
        let in_order = numbers.iter().copied().eq(1..=events[&aggregate]);
        let story = || deliveries.so_far().into_iter().filter(|one| one.aggregate == aggregate);
        assert!(in_order, "aggregate {aggregate}: {:#?}", story().collect::<Vec<_>>());
    }
    Ok(())
}

//! Events with unusual ids: chosen by hand, copied from elsewhere, negative, or reused.

#![expect(clippy::print_stdout, reason = "what was measured belongs to the test's output")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pipeline_tests::deliveries::Deliveries;
use pipeline_tests::outbox::{Outbox, eventually};
use stack::Service;

/// A fifth of a second on an idle machine; longer on a busy one.
const AT_ONCE: Duration = Duration::from_secs(4);

/// An outbox with some published events, and the relay that published them.
async fn at_work() -> anyhow::Result<(Outbox, Service)> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let relay = outbox.relay_process(&[]).await?;
    for aggregate in ["a", "b", "c"] {
        outbox.add(aggregate, "order.created").await?;
        outbox.all_published().await.with_context(|| relay.log())?;
    }
    Ok((outbox, relay))
}

/// Adds an event of another aggregate with this id.
async fn add_with_id(outbox: &Outbox, id: i64) -> anyhow::Result<()> {
    let insert = "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
                  OVERRIDING SYSTEM VALUE
                  VALUES ($1, 'order', gen_random_uuid()::text, 'order.created', '{}')";
    outbox.sql.execute(insert, &[&id]).await?;
    Ok(())
}

async fn published_at_once(outbox: &Outbox, relay: &Service, what: &str) -> anyhow::Result<()> {
    let committed = Instant::now();
    outbox.all_published().await.with_context(|| relay.log())?;
    let took = committed.elapsed();
    println!("{what}: published after {took:?}");
    ensure!(took < AT_ONCE, "{what}: it took {took:?}: {}", relay.log());
    Ok(())
}

#[tokio::test]
async fn an_event_is_published_at_once_whatever_its_id_is() -> anyhow::Result<()> {
    let (outbox, relay) = at_work().await?;
    for id in [0, -1, -7_000_000_000, i64::MIN + 1, i64::MIN, 1_000_000_000_000, 500] {
        add_with_id(&outbox, id).await?;
        published_at_once(&outbox, &relay, &format!("id {id}")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn after_one_huge_id_events_with_ordinary_ones_go_on_at_once() -> anyhow::Result<()> {
    for huge in [i64::MAX, i64::MAX - 1] {
        let (outbox, relay) = at_work().await?;
        add_with_id(&outbox, huge).await?;
        published_at_once(&outbox, &relay, "the huge one").await?;
        let begun = Instant::now();
        for _ in 0..20 {
            outbox.add("d", "order.created").await?;
            published_at_once(&outbox, &relay, "an ordinary one").await?;
        }
        ensure!(begun.elapsed() < 2 * AT_ONCE, "20 took {:?}", begun.elapsed());
    }
    Ok(())
}

#[tokio::test]
async fn an_identity_that_begins_at_a_negative_number_is_as_good_as_any() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let lowest = "ALTER TABLE outbox ALTER id SET MINVALUE -9223372036854775808
                  RESTART WITH -9223372036854775808";
    outbox.sql.batch_execute(lowest).await?;
    let relay = outbox.relay_process(&[]).await?;
    for event in 0..10 {
        outbox.add("a", "order.created").await?;
        let what = format!("event {event}");
        // The first one includes the relay's start.
        outbox.all_published().await.with_context(|| relay.log())?;
        outbox.add("b", "order.created").await?;
        published_at_once(&outbox, &relay, &what).await?;
    }
    assert_eq!(outbox.depth("all").await?, 20);
    Ok(())
}

#[tokio::test]
async fn events_that_are_copied_in_below_others_are_published_at_once_and_in_order()
-> anyhow::Result<()> {
    let (outbox, relay) = at_work().await?;
    let deliveries = Deliveries::collect(&outbox.vhost.amqp_url, "all");
    eventually("the first ones are delivered", async || Ok(deliveries.count() == 3)).await?;
    // As by a restore or a subscription: in separate transactions, with their original ids.
    let far_ahead = "ALTER TABLE outbox ALTER id RESTART WITH 1000000";
    outbox.sql.batch_execute(far_ahead).await?;
    outbox.add("ahead", "order.created").await?;
    outbox.all_published().await?;
    for page in 0..10_i64 {
        let copy =
            "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload, headers)
                    OVERRIDING SYSTEM VALUE
                    SELECT 100 * ($1::bigint + 1) + n, 'order', 'copied', 'order.created', '{}',
                           jsonb_build_object('number', 10 * $1::bigint + n)
                    FROM generate_series(1, 10) AS n";
        outbox.sql.execute(copy, &[&page]).await?;
        // One after the other, each once the broker has confirmed the one ahead.
        published_at_once(&outbox, &relay, "10 copied events").await?;
    }
    eventually("each is delivered", async || Ok(deliveries.count() == 104)).await?;
    let numbers = deliveries.first_deliveries().remove("copied").context("the copied ones")?;
    assert_eq!(numbers, (1..=100).collect::<Vec<i64>>(), "in the order of their ids");
    Ok(())
}

#[tokio::test]
async fn the_first_event_after_a_table_was_emptied_with_its_ids_is_published_at_once()
-> anyhow::Result<()> {
    let (outbox, relay) = at_work().await?;
    for round in 0..3 {
        outbox.sql.batch_execute("TRUNCATE outbox RESTART IDENTITY").await?;
        eventually("the relay has noticed", async || {
            Ok(relay.log().matches("the outbox was emptied").count() > round)
        })
        .await
        .with_context(|| relay.log())?;
        let id = outbox.add("a", "order.created").await?;
        assert_eq!(id, 1);
        published_at_once(&outbox, &relay, "the first one after it").await?;
    }
    ensure!(!relay.log().contains("scanning again"), "no sweep was needed: {}", relay.log());
    Ok(())
}

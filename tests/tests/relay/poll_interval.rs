//! `RELAY_POLL_MAX` applies only to polls for new events: a year of it delays nothing else.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pipeline_tests::outbox::{Outbox, PATIENCE, eventually};
use stack::Service;

/// A year, as a setting.
const A_YEAR: [(&str, &str); 2] = [("RELAY_POLL_MIN", "365d"), ("RELAY_POLL_MAX", "365d")];

/// Half a second on an idle machine; longer on a busy one.
const SOON: Duration = Duration::from_secs(10);

async fn soon(outbox: &Outbox, relay: &Service, what: &str, since: Instant) -> anyhow::Result<()> {
    outbox.all_published().await.with_context(|| format!("{what}: {}", relay.log()))?;
    ensure!(since.elapsed() < SOON, "{what} took {:?}: {}", since.elapsed(), relay.log());
    Ok(())
}

#[tokio::test]
async fn a_year_between_two_polls_delays_neither_the_first_event_nor_the_next_ones_nor_the_end()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.add("7", "order.created").await?;
    let relay = outbox.relay_process(&A_YEAR).await?;
    soon(&outbox, &relay, "the first event", Instant::now()).await?;
    for _ in 0..3 {
        outbox.add("7", "order.created").await?;
        soon(&outbox, &relay, "a later event", Instant::now()).await?;
    }
    relay.sigterm()?;
    let told = Instant::now();
    ensure!(relay.wait_exit(PATIENCE).await?.success(), "{}", relay.log());
    ensure!(told.elapsed() < SOON, "it took {:?} to stop", told.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_year_between_two_polls_delays_neither_a_hand_over_nor_a_takeover() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let (first, _) = outbox.joined_by(&A_YEAR).await?;
    let asked = Instant::now();
    let (second, _) = outbox.joined_by(&A_YEAR).await?;
    ensure!(asked.elapsed() < SOON, "the hand-over took {:?}", asked.elapsed());
    first.sigkill()?;
    let killed = Instant::now();
    outbox.every_lane_is_served().await.with_context(|| second.log())?;
    ensure!(killed.elapsed() < SOON, "the takeover took {:?}", killed.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_year_between_two_polls_delays_no_reconnect() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let (relay, _) = outbox.joined_by(&A_YEAR).await?;
    let end = "SELECT pg_terminate_backend(pid) FROM outbox_relays";
    outbox.sql.batch_execute(end).await?;
    let ended = Instant::now();
    eventually("the relay is back", async || {
        Ok(outbox.shares().await?.values().map(Vec::len).sum::<usize>() == 64)
    })
    .await?;
    outbox.add("7", "order.created").await?;
    soon(&outbox, &relay, "an event after the session had ended", ended).await
}

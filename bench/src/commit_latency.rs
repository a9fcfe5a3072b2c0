//! The latency from commit to confirm while events are added at a steady rate.
//!
//! The message's arrival at a consumer stands for the confirm: a quorum queue delivers and confirms
//! a message once a majority has stored it. So both ends are measured with this process's clock,
//! independently of the relay. In the same run the bare publisher shows the difference between
//! arrival and confirm.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::bare_publisher::{Confirmed, Single};
use crate::output::print_json;
use crate::setup::{Arrivals, Inserts, Outbox, Queue, RelayArgs, Servers};
use crate::summary::{Summary, rounded};

/// Sessions that write in turn, so that a slow commit does not delay the next one.
const SESSIONS: usize = 8;

const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct CommitLatency {
    /// Events a second, whatever becomes of those before
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// For how long
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    #[command(flatten)]
    relay: RelayArgs,
}

impl CommitLatency {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let program = self.relay.program()?;
        let servers = Servers::start().await?;
        let (outbox, queue) = tokio::try_join!(Outbox::new(&servers), Queue::new(&servers))?;
        let arrivals = Arrivals::watch(&queue).await?;
        let count = usize::try_from(self.rate * self.seconds)?;

        eprintln!("bare publisher");
        let mut floor = self.floor(&queue, count / 4).await?;
        eprintln!("relay");
        let relay = program.start(&outbox, &queue).await?;
        Inserts::new(&outbox).await?.add(Uuid::now_v7()).await?;
        arrivals.until(floor.len() + 1, TIMEOUT).await?;
        let committed = self.commit(&outbox, count).await?;
        arrivals.until(floor.len() + 1 + count, TIMEOUT).await?;
        relay.stop().await?;
        outbox.check_pending(0).await?;
        eprintln!("bare publisher");
        floor.extend(self.floor(&queue, count / 4).await?);
        arrivals.until(floor.len() + 1 + count, TIMEOUT).await?;

        let arrival = |event_id| arrivals.of(event_id).context("a message did not arrive");
        let latencies = committed.iter().map(|&(event_id, committed)| {
            anyhow::Ok(milliseconds(arrival(event_id)?.saturating_duration_since(committed)))
        });
        let latencies = latencies.collect::<anyhow::Result<Summary>>()?;
        let confirms: Summary =
            floor.iter().map(|one| milliseconds(one.confirmed - one.sent)).collect();
        let arrived = floor.iter().map(|one| {
            anyhow::Ok(milliseconds(arrival(one.event_id)?.saturating_duration_since(one.sent)))
        });
        let arrived = arrived.collect::<anyhow::Result<Summary>>()?;
        print_json(&json!({
            "measure": "trickle",
            "ratio": {
                "p50": rounded(latencies.median() / confirms.median()),
                "p99": rounded(latencies.percentile(99) / confirms.percentile(99)),
            },
            "events": count,
            "per_second": self.rate,
            "relay": program.settings(),
            "commit_to_arrival_ms": percentiles(&latencies),
            "bare_publish_to_confirm_ms": percentiles(&confirms),
            "bare_publish_to_arrival_ms": percentiles(&arrived),
        }));
        Ok(())
    }

    /// Publishes one message at a time, at the rate of the events.
    async fn floor(&self, queue: &Queue, count: usize) -> anyhow::Result<Vec<Confirmed>> {
        let single = Single::connect(&queue.url).await?;
        let mut pace = interval(Duration::from_secs(1) / self.rate);
        let mut confirmed = Vec::with_capacity(count);
        for _ in 0..count {
            pace.tick().await;
            confirmed.push(single.publish().await?);
        }
        Ok(confirmed)
    }

    /// Commits events, each at its due time. Returns when the writers learned of each commit.
    async fn commit(&self, outbox: &Outbox, count: usize) -> anyhow::Result<Vec<(Uuid, Instant)>> {
        let mut sessions = Vec::with_capacity(SESSIONS);
        for _ in 0..SESSIONS {
            sessions.push(std::sync::Arc::new(Inserts::new(outbox).await?));
        }
        let mut pace = interval(Duration::from_secs(1) / self.rate);
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut commits = JoinSet::new();
        for number in 0..count {
            pace.tick().await;
            let session = std::sync::Arc::clone(&sessions[number % SESSIONS]);
            commits.spawn(async move {
                let event_id = Uuid::now_v7();
                session.add(event_id).await?;
                anyhow::Ok((event_id, Instant::now()))
            });
        }
        let committed = commits.join_all().await;
        let committed = committed.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(committed.len() == count, "an event was not committed");
        Ok(committed)
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn percentiles(summary: &Summary) -> serde_json::Value {
    json!({
        "p50": rounded(summary.median()),
        "p99": rounded(summary.percentile(99)),
        "max": rounded(summary.max()),
    })
}

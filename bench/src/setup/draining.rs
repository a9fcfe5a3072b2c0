//! Starts a relay on a backlog, waits until it is published, and stops the relay.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio_postgres::Statement;

use super::outbox::Outbox;
use super::queue::Queue;
use super::relay::{Relay, RelayProgram};
use super::servers::Servers;
use crate::usage::{cpu, cpu_with_children, peak_memory};

/// The interval at which to check whether the relay is done.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// A relay's servers, outbox and queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draining<'a> {
    pub(crate) servers: &'a Servers,
    pub(crate) outbox: &'a Outbox,
    pub(crate) queue: &'a Queue,
    pub(crate) relay: &'a RelayProgram,
}

/// The measurements of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drained {
    /// Events per second, from the start of the relay's process until the last event is settled.
    pub(crate) per_second: f64,
    /// CPU time of the relay since its start.
    pub(crate) relay_cpu: Duration,
    /// CPU time of PostgreSQL, including autovacuum.
    pub(crate) postgres_cpu: Duration,
    pub(crate) rabbit_cpu: Duration,
    /// The peak resident set size of the relay, in bytes.
    pub(crate) peak_memory: u64,
    /// Messages sent more than once.
    pub(crate) duplicates: usize,
}

impl Draining<'_> {
    /// Runs a relay until it has published `routable` events and tried `others` that fail. Fails if
    /// one is lost.
    pub(crate) async fn run(
        &self,
        routable: usize,
        others: usize,
        left_pending: usize,
    ) -> anyhow::Result<Drained> {
        let postgres = cpu_with_children(self.servers.postgres_pid()?)?;
        let rabbit = cpu(self.servers.rabbit_pid()?)?;
        let events = routable + others;
        let lowest = self.lowest().await?;
        let begun = Instant::now();
        let relay = self.relay.start(self.outbox, self.queue).await?;
        // Gives up below 100 events per second.
        let patience = Duration::from_secs(60) + Duration::from_millis(10) * u32::try_from(events)?;
        self.until_settled(&relay, lowest, patience).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let relay_cpu = cpu(relay.pid())?;
        let peak_memory = peak_memory(relay.pid())?;
        let postgres_cpu = cpu_with_children(self.servers.postgres_pid()?)? - postgres;
        let rabbit_cpu = cpu(self.servers.rabbit_pid()?)? - rabbit;
        relay.stop().await?;
        self.outbox.check_pending(others + left_pending).await?;
        let duplicates = self.queue.purge(routable).await?;
        Ok(Drained {
            per_second: events as f64 / seconds,
            relay_cpu,
            postgres_cpu,
            rabbit_cpu,
            peak_memory,
            duplicates,
        })
    }

    /// The lowest id to wait for. Rows below it would be scanned in each check whether all are
    /// settled.
    async fn lowest(&self) -> anyhow::Result<i64> {
        let lowest = "SELECT coalesce(min(id), 0) FROM outbox WHERE aggregate_type <> 'failing'";
        Ok(self.outbox.sql.query_one(lowest, &[]).await?.try_get(0)?)
    }

    /// Waits until each event was published or has failed once, except those of the failing
    /// aggregate.
    async fn until_settled(
        &self,
        relay: &Relay,
        lowest: i64,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + patience;
        let statement: Statement =
            self.outbox.sql.prepare(include_str!("../../sql/highest_unsettled.sql")).await?;
        let mut highest = i64::MAX;
        while let Some(row) = self.outbox.sql.query_opt(&statement, &[&highest, &lowest]).await? {
            highest = row.try_get(0)?;
            relay.check()?;
            ensure!(
                Instant::now() < end,
                "the relay is not through after {patience:?}; {}",
                relay.last_lines()
            );
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        Ok(())
    }
}

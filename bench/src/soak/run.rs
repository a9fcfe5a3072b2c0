//! A soak under way: its programs, its samples and its faults, and what must be true at its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::faults::{Fault, Target};
use super::resources::{Meters, Sample};
use super::retention::Retention;
use crate::load::{BacklogLimit, LoadResult};
use crate::pipeline::{Apis, CUSTOMERS, Pipeline, Workers};

/// How many samples a soak has.
const SAMPLES: u64 = 480;

/// For how long before the end there is no fault, so that it ends well.
const LAST: Duration = Duration::from_secs(10);

/// How long it may take, after the load, until every order is counted.
const SETTLED: Duration = Duration::from_secs(120);

/// See the [module](self).
pub(super) struct Run<'a> {
    pipeline: &'a Pipeline<'a>,
    apis: &'a Apis,
    pub(super) workers: Workers,
    retention: Retention,
    meters: Meters,
    pub(super) samples: Vec<Sample>,
    /// When each happened, in seconds.
    pub(super) faults: Vec<(f64, Fault)>,
    /// Counts what is accepted.
    accepted: Arc<BacklogLimit>,
}

impl<'a> Run<'a> {
    pub(super) async fn start(
        pipeline: &'a Pipeline<'a>,
        apis: &'a Apis,
        retention: Retention,
        accepted: Arc<BacklogLimit>,
    ) -> anyhow::Result<Self> {
        // The consumer declares the queue; until then the relay's messages would be returned.
        let consumer = pipeline.start_consumer(&retention.of_consumer()).await?;
        let relay = pipeline.start_relay(&retention.of_relay()).await?;
        Ok(Self {
            pipeline,
            apis,
            workers: Workers { relay, consumer },
            retention,
            meters: Meters::new(pipeline).await?,
            samples: Vec::new(),
            faults: Vec::new(),
            accepted,
        })
    }

    /// Samples, and puts a fault in each `fault_every`, until the load ends.
    pub(super) async fn watch<T>(
        &mut self,
        load: &JoinHandle<T>,
        seconds: u64,
        fault_every: Duration,
    ) -> anyhow::Result<()> {
        let (begun, already) = (Instant::now(), self.pipeline.accepted());
        let between = Duration::from_secs_f64(seconds as f64 / SAMPLES as f64);
        let end = begun + Duration::from_secs(seconds);
        let (mut next_sample, mut next_fault) = (begun, begun + fault_every);
        while !load.is_finished() {
            let now = Instant::now();
            if now >= next_fault && now + LAST < end {
                next_fault += fault_every;
                let fault = Fault::nth(self.faults.len());
                let at = begun.elapsed().as_secs_f64();
                eprintln!("{at:.0} s: {}", fault.name());
                self.faults.push((at, fault));
                let target = Target {
                    pipeline: self.pipeline,
                    apis: self.apis,
                    workers: &mut self.workers,
                    retention: &self.retention,
                    own_sessions: &self.meters.own_sessions,
                };
                fault.put_into(target).await?;
            }
            if now >= next_sample {
                next_sample = now + between;
                let counted = u64::try_from(self.pipeline.customers.counted().await?)?;
                let accepted = already + self.accepted.accepted();
                let backlog = accepted.saturating_sub(counted) as f64;
                let values = self.meters.read(self.apis, &self.workers, backlog).await?;
                self.samples.push(Sample { seconds: begun.elapsed().as_secs_f64(), values });
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

/// Waits until every order is counted, and nothing is left anywhere. Returns how many orders there
/// are, and fails unless each was counted once: one whose answer was lost may have been written.
pub(super) async fn settle(
    pipeline: &Pipeline<'_>,
    workers: Workers,
    tally: &LoadResult,
) -> anyhow::Result<u64> {
    let orders = pipeline.orders.by_customer(CUSTOMERS).await?;
    let written: u64 = orders.iter().sum();
    let accepted = pipeline.accepted() + tally.accepted.total;
    let failed = tally.failed();
    ensure!(
        (accepted..=accepted + failed).contains(&written),
        "{accepted} orders were accepted and {failed} failed, but {written} are written"
    );
    let end = Instant::now() + SETTLED;
    loop {
        let counted = u64::try_from(pipeline.customers.counted().await?)?;
        let pending = pipeline.orders.pending().await?;
        let left = pipeline.broker.check_empty().await;
        if counted >= written && pending == 0 && left.is_ok() {
            break;
        }
        ensure!(
            Instant::now() < end,
            "after {} s {counted} of {written} orders are counted, {pending} events are pending, and {left:?}",
            SETTLED.as_secs()
        );
        sleep(Duration::from_millis(500)).await;
    }
    // What the consumer has and not yet acknowledged is counted by then.
    workers.stop().await?;
    let counts = pipeline.customers.counts().await?;
    for (number, (written, counted)) in orders.iter().zip(&counts).enumerate() {
        ensure!(
            u64::try_from(*counted) == Ok(*written),
            "customer {number} has {written} orders, and {counted} are counted"
        );
    }
    Ok(written)
}

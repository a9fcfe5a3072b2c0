//! Many concurrent writers that continue through outages of the database.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::future::try_join_all;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::outbox::{PATIENCE, connect};
use crate::writer_transaction::{Writer, WriterTransaction};

/// The workload of some writers.
#[derive(Debug)]
pub struct Writers {
    /// The database of the outbox and the aggregates.
    pub url: String,
    /// Determines what they write, but not when.
    pub seed: u64,
    /// The number of writers.
    pub writers: u64,
    /// The number of aggregates.
    pub aggregates: usize,
    /// The number of events per aggregate, or a few more.
    pub events_each: i64,
    /// The time over which the writes are spread.
    pub spread: Duration,
    /// The longest time that a transaction stays open.
    pub longest: Duration,
}

/// Their progress.
#[derive(Debug)]
struct Progress {
    unfinished: Mutex<Vec<String>>,
    written: AtomicI64,
    begun: Instant,
}

impl Writers {
    /// Writes until each aggregate has its events.
    ///
    /// # Errors
    /// When the database refuses, or is down for too long.
    pub async fn write(&self) -> anyhow::Result<()> {
        let progress = Progress {
            unfinished: Mutex::new((0..self.aggregates).map(|n| n.to_string()).collect()),
            written: AtomicI64::new(0),
            begun: Instant::now(),
        };
        let writers = (0..self.writers).map(|number| {
            let rng = StdRng::seed_from_u64(self.seed.wrapping_add(number));
            self.write_one(&progress, rng)
        });
        try_join_all(writers).await.map(drop)
    }

    async fn write_one(&self, progress: &Progress, mut rng: StdRng) -> anyhow::Result<()> {
        let mut writer = self.connect().await?;
        loop {
            let transaction = {
                let open = progress.unfinished.lock().unwrap_or_else(PoisonError::into_inner);
                if open.is_empty() {
                    return Ok(());
                }
                // The first ones more often, so that writers contend for them.
                let some = if rng.random_bool(0.2) { open.len().min(5) } else { open.len() };
                WriterTransaction::any(&mut rng, &open[..some], self.longest)
            };
            self.keep_pace(progress).await;
            match transaction.execute(&mut writer).await {
                Ok(numbers) => self.note(progress, &transaction, &numbers),
                // The next transaction shows whether it was committed.
                Err(error) if is_outage(&error) => writer = self.connect().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn note(
        &self,
        progress: &Progress,
        transaction: &WriterTransaction,
        numbers: &[(String, i64)],
    ) {
        let mut open = progress.unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        for (aggregate, number) in numbers {
            progress.written.fetch_add(transaction.events, Ordering::Relaxed);
            if *number >= self.events_each {
                open.retain(|other| other != aggregate);
            }
        }
    }

    /// Waits while the writers are ahead of schedule.
    async fn keep_pace(&self, progress: &Progress) {
        let all = f64::from(u32::try_from(self.aggregates).unwrap_or(u32::MAX))
            * f64::from(u32::try_from(self.events_each).unwrap_or(u32::MAX));
        loop {
            let due = all * progress.begun.elapsed().div_duration_f64(self.spread);
            let written = i32::try_from(progress.written.load(Ordering::Relaxed));
            if f64::from(written.unwrap_or(i32::MAX)) <= due {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn connect(&self) -> anyhow::Result<Writer> {
        let end = Instant::now() + PATIENCE;
        loop {
            let connected = async { Ok(Writer::new(connect(&self.url).await?).await?) };
            let error: anyhow::Error = match connected.await {
                Ok(writer) => return Ok(writer),
                Err(error) => error,
            };
            ensure!(Instant::now() < end, "the database stays down: {error:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Whether the server is down or shutting down.
fn is_outage(error: &tokio_postgres::Error) -> bool {
    // Class 57: operator intervention
    // (https://www.postgresql.org/docs/current/errcodes-appendix.html).
    error.code().is_none_or(|code| code.code().starts_with("57P"))
}

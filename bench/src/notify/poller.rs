//! A session that polls as the relay does: at once after finding something, otherwise after 5 ms,
//! doubled after each empty poll up to 100 ms.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::setup::Outbox;

const SHORTEST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(100);

/// Records the time at which it finds each event.
#[derive(Debug)]
pub(super) struct Poller {
    found: Arc<Mutex<HashMap<Uuid, Instant>>>,
    polling: JoinHandle<anyhow::Result<()>>,
}

impl Poller {
    pub(super) async fn start(outbox: &Outbox) -> anyhow::Result<Self> {
        let found = Arc::<Mutex<HashMap<Uuid, Instant>>>::default();
        let polling = tokio::spawn(poll(outbox.connect().await?, Arc::clone(&found)));
        Ok(Self { found, polling })
    }

    /// Waits until `count` events were found, and returns their times.
    pub(super) async fn until(&self, count: usize) -> anyhow::Result<HashMap<Uuid, Instant>> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let found = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if found.len() >= count {
                return Ok(found);
            }
            ensure!(!self.polling.is_finished(), "the poller has ended");
            ensure!(
                Instant::now() < end,
                "{} events were found instead of {count}: this run has no result",
                found.len()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.polling.abort();
    }
}

async fn poll(sql: Client, found: Arc<Mutex<HashMap<Uuid, Instant>>>) -> anyhow::Result<()> {
    let statement = sql.prepare(include_str!("../../sql/poll_pending.sql")).await?;
    let (mut last, mut wait) = (0_i64, SHORTEST);
    loop {
        let rows = sql.query(&statement, &[&last]).await?;
        let now = Instant::now();
        for row in &rows {
            last = row.try_get("id")?;
            let event_id = row.try_get("event_id")?;
            found.lock().unwrap_or_else(PoisonError::into_inner).entry(event_id).or_insert(now);
        }
        if rows.is_empty() {
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST);
        } else {
            wait = SHORTEST;
        }
    }
}

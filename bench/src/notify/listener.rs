//! A session that listens.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, NoTls};

/// Records the time of each notification.
#[derive(Debug)]
pub(super) struct Listener {
    heard: Arc<Mutex<Vec<Instant>>>,
    connection: JoinHandle<()>,
    /// Owns the connection.
    _client: Client,
}

impl Listener {
    pub(super) async fn connect(url: &str) -> anyhow::Result<Self> {
        let (client, mut connection) = tokio_postgres::connect(url, NoTls).await?;
        let heard = Arc::<Mutex<Vec<Instant>>>::default();
        let notes = Arc::clone(&heard);
        let connection = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await
            {
                if matches!(message, AsyncMessage::Notification(_)) {
                    notes.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                }
            }
        });
        client.batch_execute("LISTEN outbox").await?;
        Ok(Self { heard, connection, _client: client })
    }

    fn heard(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `count` notifications and returns their times. Fails unless there were exactly
    /// this many.
    pub(super) async fn take(&self, count: usize) -> anyhow::Result<Vec<Instant>> {
        let end = Instant::now() + Duration::from_secs(30);
        while self.heard().len() < count {
            ensure!(!self.connection.is_finished(), "the listener's connection has ended");
            ensure!(
                Instant::now() < end,
                "{} notifications were heard instead of {count}: this run has no result",
                self.heard().len()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let heard = std::mem::take(&mut *self.heard());
        ensure!(
            heard.len() == count,
            "{} notifications were heard instead of {count}: this run has no result",
            heard.len()
        );
        Ok(heard)
    }
}

//! A steady load of events during a test.

use std::time::Duration;

use anyhow::ensure;
use tokio_util::sync::CancellationToken;

use crate::deliveries::Deliveries;
use crate::outbox::{Outbox, connect, eventually};

/// How many aggregates get an event in each round.
const AGGREGATES: usize = 200;

/// Adds one event per aggregate, with its number within the aggregate.
const ROUND: &str = "
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
    SELECT 'order', aggregate::text, 'order.created', '{}', jsonb_build_object('number', $1::bigint)
    FROM generate_series(1, $2::bigint) AS aggregate";

/// Events of the same aggregates, in rounds.
#[derive(Debug, Default)]
pub struct Load {
    rounds: i64,
}

impl Load {
    /// Runs `work` while more than a thousand events are added per second.
    ///
    /// # Errors
    /// When the work fails, or the database refuses.
    pub async fn during<T>(
        &mut self,
        outbox: &Outbox,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let sql = connect(&outbox.database.url).await?;
        let done = CancellationToken::new();
        let writing = async {
            while !done.is_cancelled() {
                sql.execute(ROUND, &[&(self.rounds + 1), &i64::try_from(AGGREGATES)?]).await?;
                self.rounds += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        };
        let working = async {
            let result = work.await;
            done.cancel();
            result
        };
        tokio::try_join!(writing, working).map(|((), result)| result)
    }

    /// Waits until all events are published and delivered. Fails unless each aggregate's first
    /// deliveries are in order.
    ///
    /// # Errors
    /// When an event is missing or came before its time.
    pub async fn arrived(&self, outbox: &Outbox, deliveries: &Deliveries) -> anyhow::Result<()> {
        outbox.all_published().await?;
        let events = outbox.event_ids().await?;
        eventually("every event is delivered", async || Ok(deliveries.event_ids() == events))
            .await?;
        let first = deliveries.first_deliveries();
        ensure!(self.rounds == 0 || first.len() >= AGGREGATES, "{} aggregates", first.len());
        for (aggregate, numbers) in first {
            let in_order = numbers.iter().copied().eq(1..=i64::try_from(numbers.len())?);
            ensure!(in_order, "the first deliveries of aggregate {aggregate}: {numbers:?}");
        }
        Ok(())
    }
}

/// Waits until 500 further messages were delivered.
///
/// # Errors
/// When none come.
pub async fn at_work(deliveries: &Deliveries) -> anyhow::Result<()> {
    let before = deliveries.count();
    eventually("messages come", async || Ok(deliveries.count() > before + 500)).await
}

//! A session: finishes batch after batch over one subscription, until an interruption or shutdown.

use std::pin::pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::acknowledge::Acknowledger;
use super::batch::{Batch, Interruption};
use super::config::ConsumerConfig;
use super::counter::Counter;
use super::reconnect::{Dependencies, MOVES};
use super::subscription::Subscription;

/// How often the database is probed while no messages arrive.
const IDLE_PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// The part of the grace time that is reserved for closing connections after the last batch.
const CLOSE_RESERVE: Duration = Duration::from_secs(2);

/// Finishes batch after batch, receiving the next one meanwhile. On `shutdown` the current batch is
/// finished. If the grace time expires before that, nothing of it is acknowledged.
pub(super) async fn run_session(
    config: &ConsumerConfig,
    dependencies: &Dependencies,
    counter: &mut Counter,
    subscription: &mut Subscription,
    acknowledger: &mut Acknowledger,
    shutdown: &CancellationToken,
) -> Result<(), Interruption> {
    // The other half of the prefetch arrives meanwhile.
    let mut next = Batch::new(usize::from(config.subscription.consumer_prefetch).div_ceil(2));
    loop {
        while next.is_empty() {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = counter.closed() => {
                    return Err(Interruption::Database("the database closed the connection".to_owned()));
                }
                received = subscription.receive_into(&mut next) => received.map_err(Interruption::Broker)?,
                () = tokio::time::sleep(IDLE_PROBE_INTERVAL) => {
                    counter.probe().await.map_err(Interruption::Database)?;
                    acknowledger.return_held().await?;
                }
            }
        }
        let batch = next.take();
        let finishing =
            batch.finish(counter, acknowledger, config.subscription.rabbitmq_max_retries);
        tokio::select! {
            finished = finish_while_receiving(finishing, subscription, &mut next) => finished?,
            () = grace_expired(config.process.shutdown_grace, shutdown) => {
                tracing::warn!(
                    messages = batch.len(),
                    "grace time expired before the batch was finished: its messages return to the queue"
                );
                return Ok(());
            }
        }
        dependencies.set_note(MOVES, acknowledger.refusal_summary());
        if shutdown.is_cancelled() {
            return Ok(());
        }
    }
}

/// Awaits `finishing` and receives messages into `next` meanwhile. When the channel is lost, the
/// current batch is finished nevertheless.
async fn finish_while_receiving(
    finishing: impl Future<Output = Result<(), Interruption>>,
    subscription: &mut Subscription,
    next: &mut Batch,
) -> Result<(), Interruption> {
    let mut finishing = pin!(finishing);
    let mut lost = None;
    loop {
        tokio::select! {
            biased;
            finished = &mut finishing => {
                finished?;
                return lost.map_or(Ok(()), |reason| Err(Interruption::Broker(reason)));
            }
            received = subscription.receive_into(next), if lost.is_none() && !next.is_full() => {
                lost = received.err();
            }
        }
    }
}

/// Completes when the current batch must be given up, so that there is time left to close the
/// connections.
async fn grace_expired(grace: Duration, shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(grace.saturating_sub(CLOSE_RESERVE)).await;
}

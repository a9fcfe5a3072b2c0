//! Measures the depth of the dead-letter queue, which only the broker knows.

use std::convert::Infallible;
use std::time::Duration;

use amqp::{Channel, Failure};
use tokio::time::{MissedTickBehavior, interval};

use super::broker::{Broker, NOT_FOUND, with_timeout};
use super::metrics;
use super::topology::DEAD_LETTER_QUEUE;

/// How often the depth is measured.
const INTERVAL: Duration = Duration::from_secs(5);

/// Updates the metric until it is dropped, over a channel of its own: the broker closes it when the
/// queue does not exist. When the depth can't be measured, the metric stays as it was.
pub(super) async fn watch(broker: &Broker) -> Infallible {
    let mut channel = None;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match count(broker, &mut channel).await {
            Ok(messages) => metrics::dead_letters(messages),
            Err(reason) => tracing::debug!(reason, "can't measure the dead-letter queue"),
        }
    }
}

/// Returns the depth, or 0 when the queue does not exist. The channel is kept for the next time
/// while it is open.
async fn count(broker: &Broker, cached: &mut Option<Channel>) -> Result<u32, String> {
    let channel = match cached.take() {
        Some(open) if open.is_open() => open,
        _ => broker.open_channel().await?,
    };
    with_timeout("answer", async {
        match channel.depth(DEAD_LETTER_QUEUE).await {
            Ok(depth) => {
                *cached = Some(channel);
                Ok(depth.messages)
            }
            Err(Failure::Refused(refusal)) if refusal.code == NOT_FOUND => Ok(0),
            Err(failure) => Err(failure),
        }
    })
    .await
}

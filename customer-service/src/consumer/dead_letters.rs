//! How many messages wait in the dead-letter queue. Only the broker knows: they stay when consumers come and go, and people take them away.

use std::convert::Infallible;
use std::time::Duration;

use service_kit::amqp::{Channel, Failure};
use tokio::time::{MissedTickBehavior, interval};

use super::broker::{Broker, NOT_FOUND, with_timeout};
use super::metrics;
use super::topology::DEAD_LETTER_QUEUE;

/// How often to ask.
const EVERY: Duration = Duration::from_secs(5);

/// Asks the broker again and again and tells the metrics, until it is dropped. It has a channel of its own, which the broker closes when
/// there is no such queue; whoever works on the same connection does not notice. What can't be told now stays as it was.
pub(super) async fn watch(broker: &Broker) -> Infallible {
    let mut channel = None;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match count(broker, &mut channel).await {
            Ok(messages) => metrics::dead_letters(messages),
            Err(reason) => tracing::debug!(reason, "can't count the dead letters now"),
        }
    }
}

/// The messages that wait, none when the queue is not there. The channel is kept for the next time as long as it is good.
async fn count(broker: &Broker, kept: &mut Option<Channel>) -> Result<u32, String> {
    let channel = match kept.take() {
        Some(open) if open.is_open() => open,
        _ => broker.open_channel().await?,
    };
    with_timeout("answer", async {
        match channel.depth(DEAD_LETTER_QUEUE).await {
            Ok(depth) => {
                *kept = Some(channel);
                Ok(depth.messages)
            }
            Err(Failure::Refused(refusal)) if refusal.code == NOT_FOUND => Ok(0),
            Err(failure) => Err(failure),
        }
    })
    .await
}

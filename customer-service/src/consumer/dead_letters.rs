//! How many messages wait in the dead-letter queue. Only the broker knows: they stay when consumers come and go, and people take them away.

use std::convert::Infallible;
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, ErrorKind};
use service_kit::broker::reason;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::broker::{ANSWER_LIMIT, Broker};
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
        Some(open) if open.status().connected() => open,
        _ => broker.another_channel().await?,
    };
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let asked = channel.queue_declare(DEAD_LETTER_QUEUE.into(), passive, FieldTable::default());
    match timeout(ANSWER_LIMIT, asked).await {
        Ok(Ok(queue)) => {
            *kept = Some(channel);
            Ok(queue.message_count())
        }
        Ok(Err(error)) if is_not_there(&error) => Ok(0),
        Ok(Err(error)) => Err(reason(&error)),
        Err(_) => Err(format!("the broker takes longer than {ANSWER_LIMIT:?} to answer")),
    }
}

fn is_not_there(error: &lapin::Error) -> bool {
    const NOT_FOUND: u16 = 404;
    matches!(error.kind(), ErrorKind::ProtocolError(amqp) if amqp.get_id() == NOT_FOUND)
}

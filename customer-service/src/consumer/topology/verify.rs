//! Verifies that the exchanges and queues exist, and changes nothing: for `CONSUMER_DECLARE=false`.

use amqp::{Channel, CloseReason, Failure};

use super::objects::{BINDINGS, Binding, EXCHANGES, QUEUES, Topology};
use crate::consumer::broker::{ACCESS_REFUSED, Broker, NOT_FOUND};

/// What to do about a missing exchange or queue.
const REMEDY: &str = "declare it, or let the consumer do so with CONSUMER_DECLARE=true";

/// Declares each exchange and queue passively. Returns an open channel, as the broker closes one
/// over each declaration that it refuses, and what it found.
///
/// # Errors
/// Returns what is missing and what to do.
pub(in crate::consumer) async fn verify(
    broker: &Broker,
    mut channel: Channel,
) -> Result<(Channel, Topology), String> {
    for (exchange, kind) in EXCHANGES {
        let asked = channel.declare_exchange(exchange.into(), kind, true).await;
        channel = expect_exists(broker, channel, &format!("exchange {exchange}"), asked).await?;
    }
    for queue in QUEUES {
        let asked = channel.depth(queue).await.map(drop);
        channel = expect_exists(broker, channel, &format!("queue {queue}"), asked).await?;
    }
    Ok((channel, Topology { assumed_bindings: assumed_bindings(), ..Topology::default() }))
}

/// The bindings, in words: AMQP can't verify one.
fn assumed_bindings() -> Option<String> {
    let one =
        |Binding { queue, exchange, key }: &Binding| format!("{queue} to {exchange} with {key}");
    Some(BINDINGS.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// Returns an open channel if the object exists, or if the broker does not tell: since RabbitMQ
/// 4.2.6 a passive declaration needs the permission to configure the object. Whether it exists then
/// shows when it is used.
async fn expect_exists(
    broker: &Broker,
    channel: Channel,
    object: &str,
    asked: Result<(), Failure>,
) -> Result<Channel, String> {
    match asked {
        Ok(()) => Ok(channel),
        Err(Failure::Refused(CloseReason { code: ACCESS_REFUSED, text })) => {
            tracing::debug!(
                reason = text,
                "the broker does not tell whether the {object} is there"
            );
            broker.open_channel().await
        }
        Err(Failure::Refused(CloseReason { code: NOT_FOUND, text })) => {
            Err(format!("the {object} does not exist ({text}): {REMEDY}"))
        }
        Err(failure) => Err(format!("the {object} can't be asked for: {failure}")),
    }
}

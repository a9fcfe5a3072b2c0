//! Looks at the exchanges and queues and changes none of them, for a consumer that is not to declare any.

use service_kit::amqp::{Channel, Failure, Goodbye};

use super::{BINDINGS, Binding, EXCHANGES, QUEUES, Topology};
use crate::consumer::broker::{ACCESS_REFUSED, Broker, NOT_FOUND};

/// What somebody else has to do about an exchange or a queue that is missing.
const REMEDY: &str = "declare it, or let the consumer do so with CONSUMER_DECLARE=true";

/// Asks for each exchange and queue with a passive declare, and sends nothing else. Returns the channel to go on with, as the broker closes one
/// over each that it refuses.
///
/// # Errors
/// With a sentence that says what is missing and what to do.
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

/// Nobody can ask for a binding.
fn assumed_bindings() -> Option<String> {
    let one =
        |Binding { queue, exchange, key }: &Binding| format!("{queue} to {exchange} with {key}");
    Some(BINDINGS.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// Goes on where the broker has the object, and where it doesn't tell: RabbitMQ 4.2.6 and later answer a passive declare only to those who may configure the
/// object. Its use will show whether it is there.
async fn expect_exists(
    broker: &Broker,
    channel: Channel,
    object: &str,
    asked: Result<(), Failure>,
) -> Result<Channel, String> {
    match asked {
        Ok(()) => Ok(channel),
        Err(Failure::Refused(Goodbye { code: ACCESS_REFUSED, said })) => {
            tracing::debug!(said, "the broker does not tell whether the {object} is there");
            broker.open_channel().await
        }
        Err(Failure::Refused(Goodbye { code: NOT_FOUND, said })) => {
            Err(format!("the {object} does not exist ({said}): {REMEDY}"))
        }
        Err(failure) => Err(format!("the {object} can't be asked for: {failure}")),
    }
}

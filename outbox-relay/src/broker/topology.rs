//! The exchanges that the relay publishes to.

use std::sync::{Arc, Once};

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::types::ShortString;
use amqp::{Channel, CloseReason, Connection, Failure, Message, content_header};
use bytes::Bytes;

use crate::config::{Name, RelayArgs};

/// Why a broker refuses (<https://www.rabbitmq.com/amqp-0-9-1-reference#constants>).
const ACCESS_REFUSED: u16 = 403;
pub(crate) const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;

/// The routing key of the message that is published and rolled back, which no consumer gets.
const PROBE_KEY: &str = "outbox-relay.check";

/// The relay's exchange, and whether the relay makes it; and those that others make.
#[derive(Debug, Clone)]
pub(crate) struct Topology {
    pub(crate) exchange: ShortString,
    declare: bool,
    /// `RELAY_EXCHANGES`.
    further: Arc<[ShortString]>,
    /// Logs once that the exchange is used as it is.
    log_once: Arc<Once>,
}

/// Whether the relay may publish to the exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// The exchange is there, and the user may write to it.
    Allowed,
    /// There is no such exchange; the user may write to it.
    Missing(Failure),
    /// The user may not write to it, whether it exists or not. With the broker's text.
    Forbidden(String),
}

impl Topology {
    pub(crate) fn new(args: &RelayArgs) -> Self {
        Self {
            exchange: args.relay_exchange.short(),
            declare: args.relay_declare,
            further: args.further_exchanges().iter().map(Name::short).collect(),
            log_once: Arc::new(Once::new()),
        }
    }

    /// Declares the exchange, or checks that it exists. One that the relay may neither declare nor
    /// check is used as it is, if it exists: the permission to publish does not include the one to
    /// configure.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it and what to do.
    pub(crate) async fn ensure(&self, connection: &Connection) -> anyhow::Result<()> {
        // A channel of its own: the broker closes it when it refuses.
        let channel = Channel::open(connection).await.map_err(|failure| self.explain(&failure))?;
        let declared =
            channel.declare_exchange(self.exchange.clone(), "topic", !self.declare).await;
        match declared {
            Ok(()) => channel.close().await.map_err(|failure| self.explain(&failure)),
            Err(refusal) if is(&refusal, ACCESS_REFUSED) => {
                self.use_as_it_is(connection, &refusal).await
            }
            Err(failure) => Err(self.explain(&failure)),
        }
    }

    /// Since RabbitMQ 4.2.6 even a passive declare takes the permission to configure the exchange.
    async fn use_as_it_is(&self, connection: &Connection, refusal: &Failure) -> anyhow::Result<()> {
        match try_publishing(connection, &self.exchange).await {
            // Events that may not be written fail one by one, when they are published.
            Ok(Access::Allowed | Access::Forbidden(_)) => {
                self.log_once.call_once(|| {
                    tracing::info!(
                        reason = %refusal,
                        "the relay may not declare the exchange {}: it publishes to it as it is",
                        self.exchange.as_str()
                    );
                });
                Ok(())
            }
            Ok(Access::Missing(_)) if self.declare => Err(self.explain(refusal)),
            Ok(Access::Missing(missing)) => Err(self.explain(&missing)),
            Err(failure) => Err(self.explain(&failure)),
        }
    }

    /// Logs which further exchanges can't be published to. Events for those fail by themselves when
    /// they are published; nothing else depends on them, so that the relay works without.
    pub(crate) async fn warn_of_further(&self, connection: &Connection) {
        for exchange in self.further.iter() {
            let reason = match try_publishing(connection, exchange).await {
                Ok(Access::Allowed) => continue,
                Ok(Access::Missing(failure)) | Err(failure) => failure.to_string(),
                Ok(Access::Forbidden(text)) => text,
            };
            tracing::warn!(
                reason,
                "the exchange {} of RELAY_EXCHANGES can't be published to: events for it wait",
                exchange.as_str()
            );
        }
    }

    pub(crate) fn explain(&self, failure: &Failure) -> anyhow::Error {
        let exchange = self.exchange.as_str();
        let Failure::Refused(CloseReason { code, text }) = failure else {
            return failure.clone().into();
        };
        anyhow::anyhow!(match *code {
            PRECONDITION_FAILED => format!(
                "the exchange {exchange} exists, but not as a durable topic exchange ({text}): delete it, name another \
                 one in RELAY_EXCHANGE, or use it as it is with RELAY_DECLARE=false"
            ),
            NOT_FOUND => format!(
                "the exchange {exchange} does not exist ({text}): declare it, or let the relay do so with \
                 RELAY_DECLARE=true"
            ),
            ACCESS_REFUSED => format!(
                "the exchange {exchange} does not exist, and the relay may not declare it ({text}): declare it, or grant its user the \
                 configure permission"
            ),
            _ => format!("the exchange {exchange} is refused: {text}"),
        })
    }
}

/// Asks the broker whether the relay may publish to `exchange`, by a message that is rolled back.
///
/// # Errors
/// When the broker does not say.
pub(crate) async fn try_publishing(
    connection: &Connection,
    exchange: &ShortString,
) -> Result<Access, Failure> {
    let channel = Channel::open(connection).await?;
    let message = Message {
        message_id: String::new(),
        exchange: None,
        routing_key: PROBE_KEY.into(),
        content_header: content_header(0, &AMQPProperties::default()),
        body: Bytes::new(),
    };
    match channel.try_publish(exchange, &message).await {
        Ok(()) => channel.close().await.map(|()| Access::Allowed),
        Err(failure) if is(&failure, NOT_FOUND) => Ok(Access::Missing(failure)),
        // Permissions by routing key
        // (https://www.rabbitmq.com/docs/access-control#topic-authorisation) are checked after
        // those of the exchange, and refused with the same code: only the text tells.
        Err(Failure::Refused(CloseReason { code: ACCESS_REFUSED, text })) => {
            let is_over_key = text.contains(&format!("topic '{PROBE_KEY}'"));
            Ok(if is_over_key { Access::Allowed } else { Access::Forbidden(text) })
        }
        Err(failure) => Err(failure),
    }
}

fn is(failure: &Failure, wanted: u16) -> bool {
    matches!(failure, Failure::Refused(CloseReason { code, .. }) if *code == wanted)
}

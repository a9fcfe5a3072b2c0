//! The exchange that the relay publishes to.

use std::sync::{Arc, Once};

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::types::ShortString;
use bytes::Bytes;
use service_kit::amqp::{Channel, Connection, Failure, Goodbye, Message, content_header};

use crate::config::RelayArgs;

/// Why a broker refuses (<https://www.rabbitmq.com/amqp-0-9-1-reference#constants>).
const ACCESS_REFUSED: u16 = 403;
pub(crate) const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;

/// The routing key of the message that is published and rolled back. Nobody gets to see it.
const TRIED_KEY: &str = "outbox-relay.check";

/// The exchange, and whether the relay makes it.
#[derive(Debug, Clone)]
pub(crate) struct Topology {
    pub(crate) exchange: ShortString,
    declare: bool,
    /// It was logged that the exchange is used as it is.
    told: Arc<Once>,
}

/// What a message to an exchange comes to, as far as the exchange goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Publishing {
    /// The exchange is there, and the user may write to it.
    Allowed,
    /// There is no such exchange; the user may write to it.
    Missing(Failure),
    /// The user may not write to it, whether it is there or not. The broker said this.
    Forbidden(String),
}

impl Topology {
    pub(crate) fn new(args: &RelayArgs) -> Self {
        let exchange = args.relay_exchange.short();
        Self { exchange, declare: args.relay_declare, told: Arc::new(Once::new()) }
    }

    /// Declares the exchange, or checks that it exists. One that the relay may neither declare nor ask for is used as it is, if it is there: whoever may publish
    /// need not be allowed to configure anything.
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
        match self.try_publishing(connection).await {
            // Which events may not be written is told of each of them, when it is published.
            Ok(Publishing::Allowed | Publishing::Forbidden(_)) => {
                self.told.call_once(|| {
                    tracing::info!(
                        said = %refusal,
                        "the relay may not declare the exchange {}: it publishes to it as it is",
                        self.exchange.as_str()
                    );
                });
                Ok(())
            }
            Ok(Publishing::Missing(_)) if self.declare => Err(self.explain(refusal)),
            Ok(Publishing::Missing(missing)) => Err(self.explain(&missing)),
            Err(failure) => Err(self.explain(&failure)),
        }
    }

    /// Whether the relay may publish to the exchange; changes nothing.
    ///
    /// # Errors
    /// When the broker does not say.
    pub(crate) async fn try_publishing(
        &self,
        connection: &Connection,
    ) -> Result<Publishing, Failure> {
        let channel = Channel::open(connection).await?;
        let message = Message {
            message_id: String::new(),
            routing_key: TRIED_KEY.into(),
            content_header: content_header(0, &AMQPProperties::default()),
            body: Bytes::new(),
        };
        match channel.try_publish(&self.exchange, &message).await {
            Ok(()) => channel.close().await.map(|()| Publishing::Allowed),
            Err(failure) if is(&failure, NOT_FOUND) => Ok(Publishing::Missing(failure)),
            // Permissions by routing key (https://www.rabbitmq.com/docs/access-control#topic-authorisation) are looked at behind those of the exchange.
            Err(failure) if is(&failure, ACCESS_REFUSED) => Ok(match failure.to_string() {
                said if said.contains(&format!("topic '{TRIED_KEY}'")) => Publishing::Allowed,
                said => Publishing::Forbidden(said),
            }),
            Err(failure) => Err(failure),
        }
    }

    pub(crate) fn explain(&self, failure: &Failure) -> anyhow::Error {
        let exchange = self.exchange.as_str();
        let Failure::Refused(Goodbye { code, said }) = failure else {
            return failure.clone().into();
        };
        anyhow::anyhow!(match *code {
            PRECONDITION_FAILED => format!(
                "the exchange {exchange} exists, but not as a durable topic exchange ({said}): delete it, name another \
                 one in RELAY_EXCHANGE, or use it as it is with RELAY_DECLARE=false"
            ),
            NOT_FOUND => format!(
                "the exchange {exchange} does not exist ({said}): declare it, or let the relay do so with \
                 RELAY_DECLARE=true"
            ),
            ACCESS_REFUSED => format!(
                "the exchange {exchange} does not exist, and the relay may not declare it ({said}): declare it, or grant its user the \
                 configure permission"
            ),
            _ => format!("the exchange {exchange} is refused: {said}"),
        })
    }
}

fn is(failure: &Failure, wanted: u16) -> bool {
    matches!(failure, Failure::Refused(Goodbye { code, .. }) if *code == wanted)
}

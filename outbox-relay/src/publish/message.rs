//! A row as an AMQP message.

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::{AMQPValue, ShortString};

use amqp::content_header;
use service_kit::trace::Span;

use crate::config::{Envelope, RelayArgs};
use crate::publish::event::{Event, Limits};
use crate::publish::event_time::EventTime;
use crate::publish::exchanges::Exchanges;
use crate::publish::payload_encoding::{PayloadEncoding, decode};
use crate::publish::{envelope, headers, properties, span};

/// Survives a restart of the broker (`delivery_mode`).
const PERSISTENT: u8 = 2;

/// The header of a message that was published before.
const REPLAYED: &str = "x-replayed";

/// Room in a frame for all properties but the headers: seven texts of at most 256 bytes, fixed
/// fields, framing.
const OTHER_PROPERTIES: usize = 2048;

/// Bytes that are left for the headers where frames hold `frame_max` bytes.
const fn room(frame_max: usize) -> usize {
    frame_max.saturating_sub(OTHER_PROPERTIES)
}

/// Makes messages of events; what all messages of a relay have in common.
#[derive(Debug, Clone)]
pub(crate) struct MessageBuilder {
    envelope: Envelope,
    exchanges: Exchanges,
    app_id: ShortString,
    source: String,
    /// `RELAY_MAX_MESSAGE_BYTES`.
    max_payload: u32,
    /// Whether the messages were published before.
    is_replay: bool,
}

impl MessageBuilder {
    pub(crate) fn new(args: &RelayArgs) -> Self {
        Self {
            envelope: args.relay_envelope,
            exchanges: Exchanges::new(args),
            app_id: args.relay_app_id.short(),
            source: envelope::source(args.relay_app_id.as_str()),
            max_payload: args.relay_max_message_bytes,
            is_replay: false,
        }
    }

    /// The same for messages that were published before; a header of theirs says so.
    pub(crate) fn replaying(args: &RelayArgs) -> Self {
        Self { is_replay: true, ..Self::new(args) }
    }

    /// The exchange that `message` is published to.
    pub(crate) fn exchange_of<'a>(&'a self, message: &'a Message) -> &'a str {
        message.wire.exchange.as_ref().map_or(self.exchanges.own(), ShortString::as_str)
    }

    /// How long the parts of an event may be, for a connection whose frames hold `frame_max` bytes.
    pub(crate) fn limits(&self, frame_max: usize) -> Limits {
        Limits {
            payload: i64::from(self.max_payload),
            headers: i64::try_from(room(frame_max)).unwrap_or(i64::MAX),
        }
    }

    /// Makes the message of `event`, for a connection whose frames hold `frame_max` bytes.
    ///
    /// # Errors
    /// A sentence that says why the row can't be a message.
    pub(crate) fn build(&self, event: &Event, frame_max: usize) -> Result<Message, String> {
        if let Some(reason) = &event.unfit {
            return Err(reason.clone());
        }
        let routing_key = ShortString::try_new(event.event_type.as_str()).map_err(|_| {
            format!(
                "event_type is the routing key and {} bytes long, AMQP allows 255",
                event.event_type.len()
            )
        })?;
        let Some(created_at) = &event.created_at else {
            return Err("created_at is not a time from 1970 to 9999".to_owned());
        };
        let (mut headers, mut row) = headers::table(
            event.event_ref.id,
            &event.headers,
            &event.aggregate_type,
            &event.aggregate_id,
        )?;
        let exchange = self.exchanges.find(row.exchange.take())?;
        let (content_type, body) = self.body(event, created_at, row.encoding)?;
        let content_type = row.content_type.take().unwrap_or_else(|| content_type.into());
        if self.is_replay {
            headers.insert(REPLAYED.into(), AMQPValue::Boolean(true));
        }
        // The broker closes the whole connection over properties that do not fit into one frame.
        let (size, room) = (headers::size(&headers), room(frame_max));
        if size > room {
            return Err(format!(
                "the headers and the aggregate's name take {size} bytes, the broker allows {room}"
            ));
        }
        let asks_for_delay = headers::ask_for_delay(&headers);
        let destination = exchange.as_ref().map_or(self.exchanges.own(), ShortString::as_str);
        let span = span::start(event, destination, &mut headers);
        let message_id = event.event_id.to_string();
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type(content_type)
            .with_message_id(message_id.as_str().into())
            .with_type(routing_key.clone())
            .with_timestamp(created_at.seconds)
            .with_app_id(self.app_id.clone())
            .with_headers(headers);
        let content_header = content_header(body.len(), &row.apply(properties));
        let body = body.into();
        let wire = amqp::Message { message_id, exchange, routing_key, content_header, body };
        Ok(Message { wire, asks_for_delay, span })
    }

    /// The body of the message of `event`, with its content type.
    fn body(
        &self,
        event: &Event,
        created_at: &EventTime,
        encoding: PayloadEncoding,
    ) -> Result<(&'static str, Vec<u8>), String> {
        match (encoding, self.envelope) {
            (PayloadEncoding::Json, envelope) => {
                Ok((envelope.content_type(), envelope.body(event, created_at, &self.source)))
            }
            (PayloadEncoding::Base64, Envelope::None) => {
                Ok(("application/octet-stream", decode(&event.payload)?))
            }
            (PayloadEncoding::Base64, Envelope::Default | Envelope::Cloudevents) => {
                Err(properties::not_without_envelope())
            }
        }
    }
}

/// A message, ready to be published.
#[derive(Debug)]
pub(crate) struct Message {
    /// As it is sent.
    pub(crate) wire: amqp::Message,
    /// Whether an exchange that can do so delays it.
    pub(crate) asks_for_delay: bool,
    /// The span of its sending; it ends when the message is dropped.
    pub(crate) span: Option<Span>,
}

impl AsRef<amqp::Message> for Message {
    fn as_ref(&self) -> &amqp::Message {
        &self.wire
    }
}

#[cfg(test)]
mod tests;

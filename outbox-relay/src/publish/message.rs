//! A row as an AMQP message.

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::{AMQPValue, ShortString};

use amqp::content_header;
use service_kit::trace::Span;

use crate::config::{Envelope, Name, RelayArgs};
use crate::publish::event::{Event, Limits};
use crate::publish::{envelope, headers, span};

/// Survives a restart of the broker (`delivery_mode`).
const PERSISTENT: u8 = 2;

/// The header of a message that was published before.
const REPLAYED: &str = "x-replayed";

/// Room in a frame for all properties but the headers: five texts of at most 256 bytes, fixed
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
    exchange: Name,
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
            exchange: args.relay_exchange.clone(),
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
        let mut headers =
            headers::table(&event.headers, &event.aggregate_type, &event.aggregate_id)?;
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
        let span = span::start(event, self.exchange.as_str(), &mut headers);
        let message_id = event.event_id.to_string();
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type(self.envelope.content_type().into())
            .with_message_id(message_id.as_str().into())
            .with_type(routing_key.clone())
            .with_timestamp(created_at.seconds)
            .with_app_id(self.app_id.clone())
            .with_headers(headers);
        let body = self.envelope.body(event, created_at, &self.source);
        let content_header = content_header(body.len(), &properties);
        let body = body.into();
        let wire = amqp::Message { message_id, routing_key, content_header, body };
        Ok(Message { wire, span })
    }
}

/// A message, ready to be published.
#[derive(Debug)]
pub(crate) struct Message {
    /// As it is sent.
    pub(crate) wire: amqp::Message,
    /// The span of its sending; it ends when the message is dropped.
    pub(crate) span: Option<Span>,
}

impl AsRef<amqp::Message> for Message {
    fn as_ref(&self) -> &amqp::Message {
        &self.wire
    }
}

#[cfg(test)]
mod tests {
    use amq_protocol::frame::parsing::parse_content_header;
    use service_kit::config::try_parse_from;

    use super::*;
    use crate::cli::Cli;
    use crate::publish::event::tests::event;

    const FRAME: usize = 131_072;

    fn builder(args: &[&str]) -> MessageBuilder {
        let urls = ["--database-url", "postgres://u@h/d", "--rabbitmq-url", "amqp://h"];
        let cli: Cli = try_parse_from([&["outbox-relay", "run"], &urls[..], args].concat())
            .expect("good settings");
        MessageBuilder::new(&cli.into_config().expect("good settings").relay)
    }

    #[test]
    fn the_properties_are_the_contracts() {
        let message =
            builder(&["--relay-app-id", "shop"]).build(&event(), FRAME).expect("a message");
        assert_eq!(message.wire.routing_key.as_str(), "order.created");
        let (rest, header) =
            parse_content_header(message.wire.content_header.as_slice()).expect("well-formed");
        assert_eq!((rest.len(), header.body_size), (0, message.wire.body.len() as u64));
        let properties = header.properties;
        assert_eq!(properties.delivery_mode(), &Some(2));
        assert_eq!(properties.content_type().as_ref().expect("set").as_str(), "application/json");
        assert_eq!(
            properties.message_id().as_ref().expect("set").as_str(),
            "0190163d-8694-739b-aea5-966c26f8ad91"
        );
        assert_eq!(properties.kind().as_ref().expect("set").as_str(), "order.created");
        assert_eq!(properties.timestamp(), &Some(1_769_984_731));
        assert_eq!(properties.app_id().as_ref().expect("set").as_str(), "shop");
        let headers = properties.headers().as_ref().expect("set").inner();
        assert_eq!(headers.len(), 3);
        assert!(matches!(headers.get("traceparent"), Some(AMQPValue::LongString(_))));
    }

    #[test]
    fn a_row_that_can_not_be_a_message_says_why() {
        let builder = builder(&[]);
        let refusal = |change: &dyn Fn(&mut Event)| {
            let mut event = event();
            change(&mut event);
            builder.build(&event, FRAME).expect_err("no message")
        };
        assert_eq!(
            refusal(&|event| event.event_type = "x".repeat(256)),
            "event_type is the routing key and 256 bytes long, AMQP allows 255"
        );
        assert_eq!(
            refusal(&|event| event.created_at = None),
            "created_at is not a time from 1970 to 9999"
        );
        assert_eq!(
            refusal(&|event| event.unfit = Some("its contents can't be read".to_owned())),
            "its contents can't be read"
        );
        assert!(
            refusal(&|event| event.aggregate_id = "x".repeat(FRAME)).starts_with("the headers and")
        );
        assert!(
            refusal(&|event| event.headers = "7".to_owned())
                .starts_with("the headers are a number")
        );
    }

    #[test]
    fn the_longest_routing_key_and_a_long_aggregate_are_fine() {
        let mut event = event();
        event.event_type = "x".repeat(255);
        event.aggregate_type = "y".repeat(300);
        assert!(builder(&[]).build(&event, FRAME).is_ok());
    }
}

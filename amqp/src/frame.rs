//! Encoding and decoding of frames (AMQP 0-9-1 specification, section 4.2).

use amq_protocol::frame::{AMQPFrame, gen_frame};
use amq_protocol::protocol::basic::{AMQPProperties, gen_properties};
use amq_protocol::protocol::constants;
use bytes::{Bytes, BytesMut};

use super::method::{self, Method};

/// Bytes of type, channel and size, which precede a frame's payload.
const PREFIX: usize = 7;

/// Bytes of a frame besides its payload: the prefix and the end octet.
pub(super) const OVERHEAD: usize = PREFIX + 1;

/// The class `basic`, and its method `publish`.
const BASIC: u16 = 60;
const PUBLISH: u16 = 40;

/// The bit of `basic.publish` that has unroutable messages returned.
const MANDATORY: u8 = 1;

/// A frame sent by the broker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A method on a channel; channel 0 is the connection itself.
    Method(u16, Method),
    /// A message's content header: the size of its body, and its properties.
    Header(u16, Bytes),
    /// A part of a message's body.
    Body(u16, Bytes),
    Heartbeat,
}

/// Takes the first frame from `buffer`; `None` while it is incomplete.
///
/// # Errors
/// When these bytes are no frame, or one longer than `longest` bytes.
pub(super) fn decode(buffer: &mut BytesMut, longest: usize) -> Result<Option<Frame>, String> {
    // A broker that speaks another version answers with its protocol header.
    if buffer.first() == Some(&b'A') {
        return Err("the broker does not speak AMQP 0-9-1".to_owned());
    }
    let Some((head, _)) = buffer.split_first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let [kind, _, _, a, b, c, d] = *head;
    let size = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    let whole = size.saturating_add(OVERHEAD);
    if whole > longest {
        return Err(format!("the broker sent a frame of {whole} bytes, {longest} are agreed on"));
    }
    if buffer.len() < whole {
        return Ok(None);
    }
    let mut frame = buffer.split_to(whole).freeze();
    if frame.last() != Some(&constants::FRAME_END) {
        return Err(UNREADABLE.to_owned());
    }
    let channel = u16::from_be_bytes([frame[1], frame[2]]);
    frame.truncate(whole - 1);
    let contents = frame.split_off(PREFIX);
    let read = match kind {
        constants::FRAME_METHOD => method::decode(&contents).map(|it| Frame::Method(channel, it)),
        constants::FRAME_HEADER => Some(Frame::Header(channel, contents)),
        constants::FRAME_BODY => Some(Frame::Body(channel, contents)),
        constants::FRAME_HEARTBEAT => Some(Frame::Heartbeat),
        _ => None,
    };
    read.map(Some).ok_or_else(|| UNREADABLE.to_owned())
}

const UNREADABLE: &str = "the broker sent a frame that can't be read";

/// Encodes a frame that is not part of a message.
pub(super) fn encode(buffer: &mut Vec<u8>, frame: &AMQPFrame) {
    let begun = std::mem::take(buffer);
    let written = gen_frame(frame)(begun.into()).expect("a Vec takes everything");
    (*buffer, _) = written.into_inner();
}

/// Encodes `basic.publish` to `exchange` and the message's content header, which [`content_header`]
/// made.
pub(super) fn encode_publish(
    buffer: &mut Vec<u8>,
    channel: u16,
    exchange: &str,
    routing_key: &str,
    content_header: &[u8],
) {
    encode_frame(buffer, constants::FRAME_METHOD, channel, |buffer| {
        buffer.extend_from_slice(&BASIC.to_be_bytes());
        buffer.extend_from_slice(&PUBLISH.to_be_bytes());
        buffer.extend_from_slice(&[0, 0]);
        encode_short_string(buffer, exchange);
        encode_short_string(buffer, routing_key);
        buffer.push(MANDATORY);
    });
    encode_frame(buffer, constants::FRAME_HEADER, channel, |buffer| {
        buffer.extend_from_slice(content_header);
    });
}

/// Encodes a part of a message's body.
pub(super) fn encode_body(buffer: &mut Vec<u8>, channel: u16, part: &[u8]) {
    encode_frame(buffer, constants::FRAME_BODY, channel, |buffer| buffer.extend_from_slice(part));
}

/// Returns the content header of a message with a body of `body_size` bytes.
pub fn content_header(body_size: usize, properties: &AMQPProperties) -> Vec<u8> {
    let mut header = Vec::with_capacity(256);
    header.extend_from_slice(&BASIC.to_be_bytes());
    header.extend_from_slice(&[0, 0]);
    header.extend_from_slice(&(body_size as u64).to_be_bytes());
    let written = gen_properties(properties)(header.into()).expect("a Vec takes everything");
    written.into_inner().0
}

fn encode_frame(buffer: &mut Vec<u8>, kind: u8, channel: u16, contents: impl FnOnce(&mut Vec<u8>)) {
    buffer.push(kind);
    buffer.extend_from_slice(&channel.to_be_bytes());
    let size_at = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    contents(buffer);
    let size = u32::try_from(buffer.len() - size_at - 4).expect("frames are cut to frame_max");
    buffer[size_at..size_at + 4].copy_from_slice(&size.to_be_bytes());
    buffer.push(constants::FRAME_END);
}

fn encode_short_string(buffer: &mut Vec<u8>, text: &str) {
    buffer.push(u8::try_from(text.len()).expect("short strings are made of at most 255 bytes"));
    buffer.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use amq_protocol::frame::{AMQPContentHeader, parse_frame};
    use amq_protocol::protocol::{AMQPClass, basic};
    use proptest::prelude::*;

    use super::*;
    use crate::method::DeliveryTags;

    const LONGEST: usize = 4096;

    fn parse(bytes: &[u8]) -> (&[u8], AMQPFrame) {
        parse_frame(bytes).expect("a frame")
    }

    #[test]
    fn a_message_is_what_amqp_has_it_be() {
        let properties = AMQPProperties::default()
            .with_delivery_mode(2)
            .with_message_id("7".into())
            .with_type("order.created".into());
        let mut bytes = Vec::new();
        let header = content_header(5, &properties);
        encode_publish(&mut bytes, 3, "orders.events", "order.created", &header);
        encode_body(&mut bytes, 3, b"hel");
        encode_body(&mut bytes, 3, b"lo");

        let (rest, publish) = parse(&bytes);
        let expected = basic::AMQPMethod::Publish(basic::Publish {
            exchange: "orders.events".into(),
            routing_key: "order.created".into(),
            mandatory: true,
            immediate: false,
        });
        assert_eq!(publish, AMQPFrame::Method(3, AMQPClass::Basic(expected)));
        let (rest, header) = parse(rest);
        let expected = AMQPContentHeader { class_id: BASIC, body_size: 5, properties };
        assert_eq!(header, AMQPFrame::Header(3, expected));
        let (rest, first) = parse(rest);
        let (rest, second) = parse(rest);
        assert_eq!(first, AMQPFrame::Body(3, b"hel".to_vec()));
        assert_eq!(second, AMQPFrame::Body(3, b"lo".to_vec()));
        assert!(rest.is_empty());
    }

    #[test]
    fn a_frame_is_taken_once_it_is_whole() {
        let ack = basic::AMQPMethod::Ack(basic::Ack { delivery_tag: 7, multiple: true });
        let mut bytes = Vec::new();
        encode(&mut bytes, &AMQPFrame::Method(1, AMQPClass::Basic(ack)));
        encode(&mut bytes, &AMQPFrame::Heartbeat);
        let mut buffer = BytesMut::new();
        let mut taken = Vec::new();
        for byte in bytes {
            buffer.extend_from_slice(&[byte]);
            taken.extend(decode(&mut buffer, LONGEST).expect("frames"));
        }
        assert!(buffer.is_empty());
        let ack = Method::Ack(DeliveryTags { tag: 7, multiple: true });
        assert_eq!(taken, [Frame::Method(1, ack), Frame::Heartbeat]);
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_before_it_is_there() {
        let mut buffer = BytesMut::from(&[constants::FRAME_BODY, 0, 1, 0, 0, 0x0F, 0xF8][..]);
        assert!(matches!(decode(&mut buffer, LONGEST), Ok(None)), "4,096 bytes");
        let mut buffer = BytesMut::from(&[constants::FRAME_BODY, 0, 1, 0, 0, 0x0F, 0xF9][..]);
        let refused = decode(&mut buffer, LONGEST).expect_err("4,097 bytes");
        assert_eq!(refused, "the broker sent a frame of 4097 bytes, 4096 are agreed on");
    }

    #[test]
    fn another_version_of_the_protocol_is_told() {
        let mut buffer = BytesMut::from(&b"AMQP\0\x01\0\0"[..]);
        let refused = decode(&mut buffer, LONGEST).expect_err("not 0-9-1");
        assert_eq!(refused, "the broker does not speak AMQP 0-9-1");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_frame_or_none_or_refused(
            kind in prop_oneof![Just(1_u8), Just(2), Just(3), Just(8), any::<u8>()],
            contents in prop::collection::vec(any::<u8>(), 0..200),
            around in any::<bool>(),
        ) {
            let mut bytes = Vec::new();
            if around {
                encode_frame(&mut bytes, kind, 1, |bytes| bytes.extend_from_slice(&contents));
            } else {
                bytes = contents;
            }
            let mut buffer = BytesMut::from(bytes.as_slice());
            match decode(&mut buffer, LONGEST) {
                Ok(None) => prop_assert_eq!(buffer.len(), bytes.len()),
                Ok(Some(_)) => prop_assert!(buffer.len() < bytes.len()),
                Err(why) => prop_assert!(why.starts_with("the broker ")),
            }
        }
    }
}

//! Properties of a message, decoded one at a time, as most are never asked for (AMQP 0-9-1
//! specification, section 4.2.6.1).

use super::decoder::{long_string, short_string, u16};

/// Bytes of class, weight and body size, which precede the properties.
pub(super) const BEFORE: usize = 12;

/// Bytes of the flags that say which properties follow.
const FLAGS: usize = 2;

/// Positions of properties in the order of the specification.
pub(super) const CONTENT_TYPE: u16 = 0;
pub(super) const HEADERS: u16 = 2;
pub(super) const DELIVERY_MODE: u16 = 3;
pub(super) const PRIORITY: u16 = 4;
pub(super) const EXPIRATION: u16 = 7;
pub(super) const MESSAGE_ID: u16 = 8;
pub(super) const TIMESTAMP: u16 = 9;
pub(super) const TYPE: u16 = 10;
pub(super) const USER_ID: u16 = 11;

/// Returns the size of the body; `None` if the bytes end too early.
pub(super) fn body_size(content_header: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*content_header.get(4..BEFORE)?.first_chunk()?))
}

/// The deepest nesting of tables and lists that is parsed: the parser is recursive, and a frame has
/// room for many thousands of levels.
const DEEPEST: usize = 32;

/// Returns the encoded properties, unless their headers nest too deep or can't be read.
pub(super) fn that_can_be_parsed(content_header: &[u8]) -> Option<&[u8]> {
    let mut rest = content_header;
    let is_well = !go_to(&mut rest, HEADERS)? || is_shallow(long_string(&mut rest)?)?;
    is_well.then_some(content_header.get(BEFORE..)?)
}

/// Returns true if a table has at most [`DEEPEST`] levels; `None` if its bytes end too early. The
/// types are those of RabbitMQ (<https://www.rabbitmq.com/docs/amqp-0-9-1-errata#section_3>).
fn is_shallow(mut bytes: &[u8]) -> Option<bool> {
    // For each open level: what follows it, and whether its values have names.
    let mut open: Vec<(&[u8], bool)> = Vec::new();
    let mut named = true;
    loop {
        while bytes.is_empty() {
            let Some((rest, were_named)) = open.pop() else {
                return Some(true);
            };
            (bytes, named) = (rest, were_named);
        }
        if named {
            short_string(&mut bytes)?;
        }
        let kind = *bytes.split_off_first()?;
        match kind {
            b'F' | b'A' => {
                let inner = long_string(&mut bytes)?;
                if open.len() == DEEPEST {
                    return Some(false);
                }
                open.push((bytes, named));
                (bytes, named) = (inner, kind == b'F');
            }
            _ => skip_value(kind, &mut bytes)?,
        }
    }
}

/// Skips a value of this kind, with all that is in it.
pub(super) fn skip_value(kind: u8, bytes: &mut &[u8]) -> Option<()> {
    let size = match kind {
        b'F' | b'A' | b'S' | b'x' => return long_string(bytes).map(drop),
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'd' | b'T' => 8,
        _ => return None,
    };
    bytes.split_off(..size).map(drop)
}

/// The properties of a message in their encoding, with the headers taken apart. Names and values
/// need not be text, and values may nest without end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedProperties<'a> {
    /// Which properties the message has besides headers.
    pub flags: u16,
    /// The properties that precede the headers.
    pub before: &'a [u8],
    /// Each header's name and its value, with the value's type in front.
    pub headers: Vec<(&'a [u8], &'a [u8])>,
    /// The properties that follow the headers.
    pub after: &'a [u8],
}

impl<'a> EncodedProperties<'a> {
    /// Takes a content header apart, as [`content_header`](super::content_header) encodes it;
    /// `None` if its bytes end too early or a value's type is unknown.
    #[must_use]
    pub fn parse(content_header: &'a [u8]) -> Option<Self> {
        let flags = u16(&mut content_header.get(BEFORE..)?)?;
        let list = content_header.get(BEFORE + FLAGS..)?;
        let mut rest = content_header;
        let has_headers = go_to(&mut rest, HEADERS)?;
        let before = list.get(..list.len() - rest.len())?;
        let mut table = if has_headers { long_string(&mut rest)? } else { &[] };
        let mut headers = Vec::new();
        while !table.is_empty() {
            let name = short_string(&mut table)?;
            let value = table;
            let kind = *table.split_off_first()?;
            skip_value(kind, &mut table)?;
            headers.push((name, value.get(..value.len() - table.len())?));
        }
        Some(Self { flags: flags & !(1 << (15 - HEADERS)), before, headers, after: rest })
    }
}

/// Returns a property that is a short string, `Some(None)` if the message has none; `None` if the
/// bytes end too early.
pub(super) fn text(mut content_header: &[u8], wanted: u16) -> Option<Option<&[u8]>> {
    let is_there = go_to(&mut content_header, wanted)?;
    if is_there { short_string(&mut content_header).map(Some) } else { Some(None) }
}

/// Skips what precedes a property. Returns whether the message has that property; `None` if the
/// bytes end too early.
fn go_to(bytes: &mut &[u8], wanted: u16) -> Option<bool> {
    bytes.split_off(..BEFORE)?;
    let flags = u16(bytes)?;
    // The highest bit stands for the first property.
    let has = |property: u16| flags & (1 << (15 - property)) != 0;
    for property in (0..wanted).filter(|property| has(*property)) {
        match property {
            HEADERS => long_string(bytes)?,
            DELIVERY_MODE | PRIORITY => bytes.split_off(..1)?,
            TIMESTAMP => bytes.split_off(..8)?,
            _ => short_string(bytes)?,
        };
    }
    Some(has(wanted))
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::basic::AMQPProperties;
    use amq_protocol::types::{AMQPValue, FieldTable};
    use proptest::prelude::*;

    use super::*;
    use crate::content_header;

    #[test]
    fn a_text_is_found_behind_any_other_properties() {
        let mut table = FieldTable::default();
        table.insert("n".into(), AMQPValue::LongLongInt(7));
        let all = AMQPProperties::default()
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_headers(table)
            .with_delivery_mode(2)
            .with_priority(1)
            .with_correlation_id("c".into())
            .with_reply_to("r".into())
            .with_expiration("1000".into())
            .with_message_id("0190".into())
            .with_timestamp(7)
            .with_type("order.created".into())
            .with_app_id("shop".into());
        let expected = [
            (CONTENT_TYPE, &b"application/json"[..]),
            (MESSAGE_ID, b"0190"),
            (TYPE, b"order.created"),
        ];
        let (none, all) = (content_header(5, &AMQPProperties::default()), content_header(5, &all));
        assert_eq!((body_size(&none), body_size(&all)), (Some(5), Some(5)));
        for (property, value) in expected {
            assert_eq!(text(&none, property), Some(None));
            assert_eq!(text(&all, property), Some(Some(value)));
            let at = all.windows(value.len()).position(|part| part == value).expect("it is there");
            for end in 0..at + value.len() {
                assert_eq!(text(&all[..end], property), None, "{end} bytes of it");
            }
        }
    }

    #[test]
    fn headers_are_taken_apart_without_being_read() {
        let mut nested = AMQPValue::LongLongInt(7);
        for _ in 0..500 {
            nested = AMQPValue::FieldArray(vec![nested].into());
        }
        let mut table = FieldTable::default();
        table.insert("a".into(), AMQPValue::LongString("x".into()));
        table.insert("b".into(), nested);
        let properties = AMQPProperties::default()
            .with_content_type("t".into())
            .with_headers(table)
            .with_message_id("0190".into());
        let bytes = content_header(5, &properties);
        let parsed = EncodedProperties::parse(&bytes).expect("properties");
        assert_eq!(parsed.flags, (1 << 15) | (1 << (15 - MESSAGE_ID)));
        assert_eq!((parsed.before, parsed.after), (&b"\x01t"[..], &b"\x040190"[..]));
        let names: Vec<_> = parsed.headers.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [b"a", b"b"]);
        assert_eq!(parsed.headers[0].1, b"S\0\0\0\x01x");
        for end in 0..bytes.len() - parsed.after.len() {
            assert_eq!(EncodedProperties::parse(&bytes[..end]), None, "{end} bytes of it");
        }
        let none = content_header(5, &AMQPProperties::default());
        let none = EncodedProperties::parse(&none).expect("properties");
        assert!(none.flags == 0 && none.headers.is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_text_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for property in [CONTENT_TYPE, MESSAGE_ID, TYPE] {
                if let Some(Some(text)) = text(&bytes, property) {
                    prop_assert!(text.len() <= 255);
                }
            }
            prop_assert_eq!(body_size(&bytes).is_some(), bytes.len() >= BEFORE);
            if let Some(parsed) = EncodedProperties::parse(&bytes) {
                let headers = parsed.headers.iter();
                let headers = headers.map(|(name, value)| 1 + name.len() + value.len());
                let size = parsed.before.len() + headers.sum::<usize>() + parsed.after.len();
                prop_assert!(size + BEFORE + FLAGS <= bytes.len());
            }
            if let Some(those) = that_can_be_parsed(&bytes) {
                prop_assert_eq!(those.len(), bytes.len() - BEFORE);
            }
        }
    }
}

//! A content header that is changed in its bytes: what is not changed stays as it came, whatever
//! the types of its headers are, however deep they nest, and if a name is there twice.

use std::borrow::Cow;

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::types::FieldTable;

use super::content_header as encode;
use super::decoder::{long_string, short_string, u16};
use super::properties::{
    BEFORE, DELIVERY_MODE, EXPIRATION, HEADERS, PRIORITY, TIMESTAMP, USER_ID, skip_value,
};

/// How many properties there are (AMQP 0-9-1 specification, class `basic`).
const COUNT: u16 = 14;

/// Bytes of the size that precedes a table.
const SIZE: usize = 4;

/// The delivery mode of a message that outlives a restart of the broker.
const PERSISTENT: u8 = 2;

/// The encoded properties of a message.
#[derive(Debug, Clone)]
pub struct ContentHeader<'a> {
    /// Class and weight.
    prefix: &'a [u8],
    /// Each property that the message has, in the order of the specification; of the headers the
    /// entries, without their size.
    properties: Vec<Option<Cow<'a, [u8]>>>,
}

impl<'a> ContentHeader<'a> {
    /// Reads an encoded content header; `None` if its bytes make no sense.
    #[must_use]
    pub fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let prefix = bytes.get(..4)?;
        bytes.split_off(..BEFORE)?;
        let flags = u16(&mut bytes)?;
        // The lowest two bits stand for properties that this class does not have.
        if flags & 0b11 != 0 {
            return None;
        }
        let mut properties = Vec::with_capacity(usize::from(COUNT));
        for property in 0..COUNT {
            let has = flags & (1 << (15 - property)) != 0;
            let value = if has { Some(Cow::Borrowed(value(&mut bytes, property)?)) } else { None };
            properties.push(value);
        }
        let header = Self { prefix, properties };
        // Walked to its end, so that what follows can't fail.
        let mut entries = header.entries();
        while !entries.is_empty() {
            entry(&mut entries)?;
        }
        bytes.is_empty().then_some(header)
    }

    /// Encodes it for a body of `body_size` bytes.
    #[must_use]
    pub fn encode(&self, body_size: usize) -> Vec<u8> {
        let mut bytes = self.prefix.to_vec();
        bytes.extend_from_slice(&(body_size as u64).to_be_bytes());
        let mut flags = 0_u16;
        for (property, value) in (0..COUNT).zip(&self.properties) {
            flags |= u16::from(value.is_some()) << (15 - property);
        }
        bytes.extend_from_slice(&flags.to_be_bytes());
        for (property, value) in (0..COUNT).zip(&self.properties) {
            let Some(value) = value else { continue };
            if property == HEADERS {
                let size = u32::try_from(value.len()).expect("headers are shorter than a frame");
                bytes.extend_from_slice(&size.to_be_bytes());
            }
            bytes.extend_from_slice(value);
        }
        bytes
    }

    /// Keeps the headers whose names `keeps` returns true for.
    pub fn retain_headers(&mut self, keeps: impl Fn(&[u8]) -> bool) {
        let mut kept = Vec::new();
        let mut rest = self.entries();
        while let Some((name, whole)) = entry(&mut rest) {
            if keeps(name) {
                kept.extend_from_slice(whole);
            }
        }
        if self.properties[usize::from(HEADERS)].is_some() {
            self.properties[usize::from(HEADERS)] = Some(Cow::Owned(kept));
        }
    }

    /// Adds headers behind those that are there.
    pub fn add_headers(&mut self, added: FieldTable) {
        let added = encode(0, &AMQPProperties::default().with_headers(added));
        // What precedes the entries: the message's other fields, the flags, and the table's size.
        let added = added.get(BEFORE + 2 + SIZE..).unwrap_or_default();
        let mut all = self.entries().to_vec();
        all.extend_from_slice(added);
        self.properties[usize::from(HEADERS)] = Some(Cow::Owned(all));
    }

    /// Returns the value of the header `name` if it is a long string.
    #[must_use]
    pub fn header_text(&self, name: &str) -> Option<&str> {
        let mut rest = self.entries();
        while let Some((found, mut whole)) = entry(&mut rest) {
            if found == name.as_bytes() {
                short_string(&mut whole)?;
                let kind = *whole.split_off_first()?;
                let text = if kind == b'S' { long_string(&mut whole)? } else { return None };
                return std::str::from_utf8(text).ok();
            }
        }
        None
    }

    /// Returns the names of the headers, in their order.
    pub fn header_names(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.entries();
        std::iter::from_fn(move || entry(&mut rest).map(|(name, _)| name))
    }

    /// Removes `user_id`: the broker refuses that of another user than the publisher
    /// (<https://www.rabbitmq.com/docs/validated-user-id>).
    pub fn remove_user_id(&mut self) {
        self.properties[usize::from(USER_ID)] = None;
    }

    /// Removes `expiration`: the message stays in its queue until it is consumed, unless the queue
    /// has a time to live of its own.
    pub fn remove_expiration(&mut self) {
        self.properties[usize::from(EXPIRATION)] = None;
    }

    /// Has the message outlive a restart of the broker.
    pub fn make_persistent(&mut self) {
        self.properties[usize::from(DELIVERY_MODE)] = Some(Cow::Owned(vec![PERSISTENT]));
    }

    fn entries(&self) -> &[u8] {
        self.properties[usize::from(HEADERS)].as_deref().unwrap_or_default()
    }
}

/// Takes the value of a property; of the headers the entries.
fn value<'a>(bytes: &mut &'a [u8], property: u16) -> Option<&'a [u8]> {
    match property {
        HEADERS => long_string(bytes),
        DELIVERY_MODE | PRIORITY => bytes.split_off(..1),
        TIMESTAMP => bytes.split_off(..8),
        _ => {
            let whole = *bytes;
            let text = short_string(bytes)?;
            whole.get(..=text.len())
        }
    }
}

/// Takes an entry of a table. Returns its name, and all of it.
fn entry<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let whole = *rest;
    let name = short_string(rest)?;
    let kind = *rest.split_off_first()?;
    skip_value(kind, rest)?;
    Some((name, &whole[..whole.len() - rest.len()]))
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::basic::parse_properties;
    use amq_protocol::types::AMQPValue;
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in entries {
            table.insert((*name).into(), value.clone());
        }
        table
    }

    /// A message with every property.
    fn all() -> AMQPProperties {
        let list = AMQPValue::FieldArray(vec![text("a"), AMQPValue::Void].into());
        let headers = [("a", list), ("n", AMQPValue::LongLongInt(7)), ("s", text("said"))];
        AMQPProperties::default()
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_headers(table(&headers))
            .with_delivery_mode(1)
            .with_priority(1)
            .with_correlation_id("c".into())
            .with_reply_to("r".into())
            .with_expiration("1000".into())
            .with_message_id("0190".into())
            .with_timestamp(7)
            .with_type("order.created".into())
            .with_user_id("guest".into())
            .with_app_id("shop".into())
            .with_cluster_id("k".into())
    }

    #[test]
    fn what_is_not_changed_is_encoded_as_it_was() {
        for properties in [AMQPProperties::default(), all()] {
            let bytes = encode(5, &properties);
            let header = ContentHeader::read(&bytes).expect("a header");
            assert_eq!(header.encode(5), bytes);
            assert_eq!(header.encode(9), encode(9, &properties));
        }
    }

    #[test]
    fn headers_and_properties_are_changed_and_nothing_else() {
        let bytes = encode(5, &all());
        let mut header = ContentHeader::read(&bytes).expect("a header");
        header.retain_headers(|name| name != b"n");
        header.add_headers(table(&[("x", text("added"))]));
        header.remove_user_id();
        header.remove_expiration();
        header.make_persistent();
        assert_eq!(header.header_names().collect::<Vec<_>>(), [&b"a"[..], b"s", b"x"]);
        assert_eq!(header.header_text("x"), Some("added"));
        assert_eq!((header.header_text("a"), header.header_text("n")), (None, None));
        let changed = header.encode(5);
        let (rest, read) = parse_properties(&changed[BEFORE..]).expect("properties");
        let list = AMQPValue::FieldArray(vec![text("a"), AMQPValue::Void].into());
        let headers = [("a", list), ("s", text("said")), ("x", text("added"))];
        let without_user = encode(5, &all()).len() - changed.len();
        assert!(rest.is_empty() && without_user > 0);
        assert_eq!(read.headers(), &Some(table(&headers)));
        assert_eq!((read.user_id(), read.delivery_mode()), (&None, &Some(2)));
        assert_eq!(read.expiration(), &None);
        assert_eq!(read.cluster_id(), all().cluster_id());
    }

    #[test]
    fn a_message_without_headers_gets_some() {
        let bytes = encode(0, &AMQPProperties::default());
        let mut header = ContentHeader::read(&bytes).expect("a header");
        header.retain_headers(|_| false);
        assert_eq!(header.encode(0), bytes);
        header.add_headers(table(&[("x", text("added"))]));
        assert_eq!(header.header_text("x"), Some("added"));
    }

    #[test]
    fn bytes_that_end_too_early_are_none() {
        let bytes = encode(5, &all());
        for end in 0..bytes.len() {
            assert!(ContentHeader::read(&bytes[..end]).is_none(), "{end} bytes of it");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(header) = ContentHeader::read(&bytes) {
                let size = u64::from_be_bytes(*bytes[4..].first_chunk().expect("eight bytes"));
                prop_assert_eq!(header.encode(usize::try_from(size).expect("64 bits")), bytes);
            }
        }
    }
}

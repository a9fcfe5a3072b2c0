//! Properties and headers of a message, whose encoding any client may have made.

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::types::{AMQPValue, FieldTable};
use amqp::{ContentHeader, EncodedProperties, content_header};

use crate::delivery::delivery;
use crate::memory::within;

/// Bytes of class, weight and body size, which precede the properties.
const BEFORE: usize = 12;

/// The bit of the flags that says that there are headers.
const HEADERS: u16 = 1 << 13;

/// A content header: each way of reading it agrees with the others, and what was not changed is
/// encoded as it was.
pub fn amqp_properties(data: &[u8]) {
    // A value of one byte in a list becomes one of 32, in a list that grows by doubling.
    within(64 * 1024 + 200 * data.len(), || {
        let encoded = EncodedProperties::parse(data);
        let header = ContentHeader::read(data);
        if let Some(encoded) = &encoded {
            taken_apart(data, encoded);
        }
        if let Some(header) = header {
            let encoded = encoded.expect("what can be read can be taken apart");
            let names: Vec<&[u8]> = encoded.headers.iter().map(|(name, _)| *name).collect();
            assert_eq!(header.header_names().collect::<Vec<_>>(), names);
            changed(data, &header);
        }
        decoded(data);
    });
}

/// The parts are those of the whole, in its order.
fn taken_apart(data: &[u8], encoded: &EncodedProperties<'_>) {
    let EncodedProperties { flags, before, headers, after } = encoded;
    let size: usize = headers.iter().map(|(name, value)| 1 + name.len() + value.len()).sum();
    let given = u16::from_be_bytes([data[BEFORE], data[BEFORE + 1]]);
    assert_eq!(*flags, given & !HEADERS);
    let table = if given & HEADERS == 0 { 0 } else { 4 + size };
    assert_eq!(BEFORE + 2 + before.len() + table + after.len(), data.len());
    assert!(data.ends_with(after) && data[BEFORE + 2..].starts_with(before));
}

/// Changes change what they are to change.
fn changed(data: &[u8], header: &ContentHeader<'_>) {
    let size = u64::from_be_bytes(data[4..BEFORE].try_into().expect("eight bytes"));
    let size = usize::try_from(size).expect("64 bits");
    assert_eq!(header.encode(size), data, "nothing was changed");

    let mut same = header.clone();
    same.retain_headers(|_| true);
    assert_eq!(same.encode(size), data, "each header was kept");

    let mut other = header.clone();
    other.retain_headers(|name| name != b"x");
    let mut added = FieldTable::default();
    added.insert("x".into(), AMQPValue::LongString("said".into()));
    other.add_headers(added);
    other.remove_user_id();
    other.remove_expiration();
    other.make_persistent();
    let other = other.encode(7);
    let read = ContentHeader::read(&other).expect("what was encoded can be read");
    assert_eq!(read.header_text("x"), Some("said"));
    let kept = header.header_names().filter(|name| *name != b"x").count();
    assert_eq!(read.header_names().count(), kept + 1);
    let message = delivery(&other, b"");
    let properties = message.properties();
    if *properties != AMQPProperties::default() {
        assert_eq!((properties.user_id(), properties.expiration()), (&None, &None));
        assert_eq!(properties.delivery_mode(), &Some(2));
    }
}

/// All properties, decoded at once: what is written of them is read as the same.
fn decoded(data: &[u8]) {
    let message = delivery(data, b"");
    let (kind, id) = (message.kind(), message.message_id());
    let properties = message.properties();
    if *properties != AMQPProperties::default() {
        let text = |text: &Option<amq_protocol::types::ShortString>| {
            text.as_ref().map(|text| text.as_str().to_owned())
        };
        assert_eq!(kind.map(ToOwned::to_owned), text(properties.kind()));
        assert_eq!(id.map(ToOwned::to_owned), text(properties.message_id()));
        let again = delivery(&content_header(0, properties), b"");
        // NaN is no NaN, as values, but it is as text.
        assert_eq!(format!("{:?}", again.properties()), format!("{properties:?}"));
    }
}

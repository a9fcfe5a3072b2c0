//! A message of a dead-letter queue: as a row, and as the message that goes back.

use amqp::ContentHeader;
use outbox_relay::fuzz::{letter, returned};
use serde_json::Value;

use crate::delivery::{delivery, parts};
use crate::memory::within;

const FRAME_MAX: usize = 131_072;

/// The longest type that is stored, in bytes.
const LONGEST_TYPE: usize = 255;

/// The row is one that PostgreSQL can store, a redelivery has the same identity, and what goes back
/// has neither more nor less than it should.
pub fn dead_letter(data: &[u8]) {
    within(256 * 1024 + 400 * data.len(), || {
        let (content_header, body) = parts(data);
        let row = letter(delivery(content_header, body), false);
        for text in &row.texts {
            assert!(!text.contains('\0'), "NUL in {text:?}");
        }
        for document in &row.documents {
            let value: Value = serde_json::from_str(document).expect("JSON");
            assert!(value.is_object());
            assert!(!has_nul(&value), "PostgreSQL refuses {document}");
        }
        assert!(row.event_type.len() <= LONGEST_TYPE);
        let ascii = letter(delivery(content_header, body), true);
        assert!(ascii.texts.iter().chain(&ascii.documents).all(|text| text.is_ascii()));
        assert_eq!(ascii.identity, row.identity);

        if let Some(mut again) = ContentHeader::read(content_header) {
            // As RabbitMQ counts deliveries.
            let mut count = amq_protocol::types::FieldTable::default();
            count.insert("x-delivery-count".into(), amq_protocol::types::AMQPValue::LongInt(1));
            let has_headers = content_header[12] & 0x20 != 0;
            again.add_headers(count);
            let again = again.encode(body.len());
            if has_headers && again.len() > content_header.len() {
                assert_eq!(letter(delivery(&again, body), false).identity, row.identity);
            }
        }
        if let Ok(message) = returned(content_header.to_vec(), body.to_vec(), FRAME_MAX) {
            assert_eq!(message.body, body);
            assert!(message.content_header.len() <= FRAME_MAX);
            let header = ContentHeader::read(&message.content_header).expect("a content header");
            assert_eq!(header.header_text("x-returned-from"), Some("billing.dlq/7"));
            let name = |name: &[u8]| header.header_names().any(|other| other == name);
            assert!(!name(b"x-death") && !name(b"CC") && !name(b"BCC"));
        }
    });
}

/// Returns true if a text in it has a NUL, which jsonb can't hold.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(members) => {
            members.iter().any(|(name, value)| name.contains('\0') || has_nul(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

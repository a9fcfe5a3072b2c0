//! Reads values of a message's headers, whatever type their writer gave them.

use amq_protocol::types::{AMQPValue, FieldTable};
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

/// The format of NServiceBus timestamps.
const NSERVICEBUS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second]:[subsecond digits:6] Z");

/// Returns a header as text: a string, or a number in digits. What is not UTF-8, and NUL, which
/// PostgreSQL's text can't hold, is replaced.
pub(super) fn text(headers: &FieldTable, name: &str) -> Option<String> {
    let text = match headers.inner().get(name)? {
        AMQPValue::LongString(text) => lossy(text.as_bytes()),
        AMQPValue::ShortString(text) => lossy(text.as_str().as_bytes()),
        AMQPValue::ByteArray(bytes) => lossy(bytes.as_slice()),
        value => integer(value)?.to_string(),
    };
    (!text.trim().is_empty()).then_some(text)
}

/// Returns a header as a count: an integer, or a string of digits.
pub(super) fn count(headers: &FieldTable, name: &str) -> Option<i64> {
    let count = match headers.inner().get(name)? {
        AMQPValue::LongString(text) => lossy(text.as_bytes()).trim().parse().ok()?,
        AMQPValue::ShortString(text) => text.as_str().trim().parse().ok()?,
        value => integer(value)?,
    };
    (count >= 0).then_some(count)
}

/// Returns a header as a time: AMQP's timestamp, or text as RFC 3339 or NServiceBus has it.
pub(super) fn time(headers: &FieldTable, name: &str) -> Option<OffsetDateTime> {
    match headers.inner().get(name)? {
        AMQPValue::Timestamp(seconds) => timestamp(*seconds),
        AMQPValue::LongString(text) => parse_time(&lossy(text.as_bytes())),
        AMQPValue::ShortString(text) => parse_time(text.as_str()),
        _ => None,
    }
}

/// Returns the time of an AMQP timestamp, if it has a year of four digits.
pub(super) fn timestamp(seconds: u64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()
}

/// Replaces what PostgreSQL's text can't hold.
pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}

/// Returns the value of any of AMQP's types of integers.
pub(super) fn integer(value: &AMQPValue) -> Option<i64> {
    Some(match value {
        AMQPValue::ShortShortInt(number) => i64::from(*number),
        AMQPValue::ShortShortUInt(number) => i64::from(*number),
        AMQPValue::ShortInt(number) => i64::from(*number),
        AMQPValue::ShortUInt(number) => i64::from(*number),
        AMQPValue::LongInt(number) => i64::from(*number),
        AMQPValue::LongUInt(number) => i64::from(*number),
        AMQPValue::LongLongInt(number) => *number,
        _ => return None,
    })
}

fn parse_time(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim();
    let time = OffsetDateTime::parse(text, &Rfc3339).or_else(|_| {
        PrimitiveDateTime::parse(text, NSERVICEBUS).map(PrimitiveDateTime::assume_utc)
    });
    // PostgreSQL knows no offsets from 16 hours on, which RFC 3339 allows.
    let time = time.ok()?.checked_to_offset(UtcOffset::UTC)?;
    (1..=9999).contains(&time.year()).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[(&str, AMQPValue)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in values {
            table.insert((*name).into(), value.clone());
        }
        table
    }

    #[test]
    fn texts_counts_and_times_are_read_from_any_type() {
        let string = |text: &str| AMQPValue::LongString(text.into());
        let table = headers(&[
            ("text", string("a\0b")),
            ("blank", string("  ")),
            ("digits", string(" 7 ")),
            ("number", AMQPValue::ShortInt(7)),
            ("negative", AMQPValue::LongInt(-1)),
            ("bytes", AMQPValue::ByteArray(b"\xff!".to_vec().into())),
            ("rfc", string("2026-02-01T22:25:31.5+01:00")),
            ("nservicebus", string("2026-02-01 21:25:31:500000 Z")),
            ("stamp", AMQPValue::Timestamp(1_769_984_731)),
            ("far", AMQPValue::Timestamp(u64::MAX)),
            ("wrong", string("yesterday")),
            ("east", string("2026-02-02T21:25:31.5+23:59")),
            ("early", string("0001-01-01T00:00:00+01:00")),
            ("late", string("9999-12-31T23:59:59-23:59")),
        ]);
        assert_eq!(text(&table, "text").as_deref(), Some("a\u{fffd}b"));
        assert_eq!(text(&table, "bytes").as_deref(), Some("\u{fffd}!"));
        assert_eq!(text(&table, "number").as_deref(), Some("7"));
        assert_eq!((text(&table, "blank"), text(&table, "none")), (None, None));
        assert_eq!((count(&table, "digits"), count(&table, "number")), (Some(7), Some(7)));
        assert_eq!((count(&table, "negative"), count(&table, "text")), (None, None));
        assert_eq!(time(&table, "rfc"), time(&table, "nservicebus"));
        assert_eq!(time(&table, "stamp").map(OffsetDateTime::unix_timestamp), Some(1_769_984_731));
        let east = time(&table, "east").and_then(|time| time.format(&Rfc3339).ok());
        assert_eq!(east.as_deref(), Some("2026-02-01T21:26:31.5Z"));
        for name in ["far", "wrong", "number", "none", "early", "late"] {
            assert_eq!(time(&table, name), None, "{name}");
        }
    }
}

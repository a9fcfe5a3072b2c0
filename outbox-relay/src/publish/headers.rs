//! A row's headers as an AMQP table, and as the properties that reserved ones set.

use amq_protocol::types::{AMQPValue, FieldTable, ShortString};
use serde_json::{Map, Number, Value};

use crate::publish::properties::{self, RowProperties};

/// The header that holds the event's aggregate type, whatever the row's headers say.
const AGGREGATE_TYPE: &str = "aggregate-type";
/// The header that holds the event's aggregate id, whatever the row's headers say.
const AGGREGATE_ID: &str = "aggregate-id";
/// The header that holds the row's id, whatever the row's headers say.
const OUTBOX_ID: &str = "outbox-id";
/// The header by which an exchange of RabbitMQ's plugin `x-delayed-message` delays a message.
const DELAY: &str = "x-delay";

/// The headers of a message: the row's own, the two that name its aggregate, and the row's id.
/// Reserved ones of the row are properties instead.
///
/// # Errors
/// A sentence that says what AMQP can't carry, or which reserved header is wrong.
pub(crate) fn table(
    id: i64,
    headers: &str,
    aggregate_type: &str,
    aggregate_id: &str,
) -> Result<(FieldTable, RowProperties), String> {
    let mut table = FieldTable::default();
    let mut properties = RowProperties::default();
    for (name, header) in own(headers)? {
        if properties::is_reserved(&name) {
            properties.set(&name, &header)?;
            continue;
        }
        let name = ShortString::try_new(name.as_str()).map_err(|_| {
            format!("the name of a header is {} bytes long, AMQP allows 255", name.len())
        })?;
        let header = value(header).map_err(|what| {
            format!(
                "the header \"{name}\" is {what}, but must be a string, a number, a boolean or null"
            )
        })?;
        table.insert(name, header);
    }
    for (name, text) in [(AGGREGATE_TYPE, aggregate_type), (AGGREGATE_ID, aggregate_id)] {
        let name = ShortString::try_new(name).map_err(|error| error.to_string())?;
        table.insert(name, AMQPValue::LongString(text.into()));
    }
    table.insert(OUTBOX_ID.into(), AMQPValue::LongLongInt(id));
    Ok((table, properties))
}

/// Whether `table` asks an exchange to delay the message.
pub(crate) fn ask_for_delay(table: &FieldTable) -> bool {
    table.inner().contains_key(DELAY)
}

/// The size of `table` on the wire, in bytes.
pub(crate) fn size(table: &FieldTable) -> usize {
    table
        .inner()
        .iter()
        .map(|(name, value)| {
            let value = match value {
                AMQPValue::LongString(text) => 4 + text.as_bytes().len(),
                AMQPValue::Void => 0,
                AMQPValue::Boolean(_) => 1,
                _ => 8,
            };
            1 + name.as_str().len() + 1 + value
        })
        .sum()
}

fn own(headers: &str) -> Result<Map<String, Value>, String> {
    // SQL's NULL, and JSON's, which is what an ORM stores for "none".
    if headers.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(headers) {
        Ok(Value::Object(headers)) => Ok(headers),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(other) => Err(format!("the headers are {}, but must be an object", kind(&other))),
        Err(error) => Err(format!("the headers can't be read: {error}")),
    }
}

/// A plain value as AMQP carries it.
///
/// # Errors
/// What it is instead.
pub(crate) fn value(header: Value) -> Result<AMQPValue, &'static str> {
    match header {
        Value::Null => Ok(AMQPValue::Void),
        Value::Bool(truth) => Ok(AMQPValue::Boolean(truth)),
        Value::Number(number) => Ok(self::number(&number)),
        Value::String(text) => Ok(AMQPValue::LongString(text.into())),
        nested @ (Value::Array(_) | Value::Object(_)) => Err(kind(&nested)),
    }
}

/// A number as AMQP carries it. Integers of 64 bits keep every digit. All others become the nearest
/// double, as AMQP has no wider number that clients agree on: where each digit counts, the service
/// writes a string.
fn number(number: &Number) -> AMQPValue {
    number.as_i64().map_or_else(
        || AMQPValue::Double(number.as_f64().unwrap_or(f64::NAN)),
        AMQPValue::LongLongInt,
    )
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &str) -> Result<FieldTable, String> {
        table(-7, text, "order", "7").map(|(table, properties)| {
            assert_eq!(properties, RowProperties::default());
            table
        })
    }

    fn get(table: &FieldTable, name: &str) -> AMQPValue {
        table.inner().get(name).expect(name).clone()
    }

    #[test]
    fn plain_values_keep_their_kind() {
        let plain = r#"{"s":"text","i":-9223372036854775808,"d":1.5,"big":18446744073709551616,"b":true,"n":null}"#;
        let table = headers(plain).expect("plain values");
        assert_eq!(get(&table, "s"), AMQPValue::LongString("text".into()));
        assert_eq!(get(&table, "i"), AMQPValue::LongLongInt(i64::MIN));
        assert_eq!(get(&table, "d"), AMQPValue::Double(1.5));
        assert_eq!(get(&table, "big"), AMQPValue::Double(18_446_744_073_709_551_616.0));
        assert_eq!(get(&table, "b"), AMQPValue::Boolean(true));
        assert_eq!(get(&table, "n"), AMQPValue::Void);
        assert_eq!(get(&table, "aggregate-type"), AMQPValue::LongString("order".into()));
        assert_eq!(get(&table, "aggregate-id"), AMQPValue::LongString("7".into()));
        assert_eq!(get(&table, "outbox-id"), AMQPValue::LongLongInt(-7));
        assert_eq!(table.inner().len(), 6 + 3);
    }

    #[test]
    fn a_row_can_not_rename_its_aggregate_or_itself() {
        let table = headers(r#"{"aggregate-id":"other","aggregate-type":1,"outbox-id":"8"}"#);
        let table = table.expect("plain values");
        assert_eq!(get(&table, "aggregate-id"), AMQPValue::LongString("7".into()));
        assert_eq!(get(&table, "aggregate-type"), AMQPValue::LongString("order".into()));
        assert_eq!(get(&table, "outbox-id"), AMQPValue::LongLongInt(-7));
    }

    #[test]
    fn null_is_no_headers() {
        for none in ["null", "", "{}"] {
            let table = headers(none).expect(none);
            assert_eq!(table.inner().len(), 3, "{none:?}: the aggregate's name and the id alone");
        }
    }

    #[test]
    fn a_reserved_header_is_a_property_and_no_header() {
        let row = r#"{"amqp-priority":7,"amqp":"a header","amqp-content-type":"text/plain"}"#;
        let (table, properties) = table(1, row, "order", "7").expect("good values");
        let mut expected = RowProperties::default();
        expected.set("amqp-priority", &7.into()).expect("a priority");
        expected.set("amqp-content-type", &"text/plain".into()).expect("a content type");
        assert_eq!(properties, expected);
        assert_eq!(table.inner().len(), 4);
        assert_eq!(get(&table, "amqp"), AMQPValue::LongString("a header".into()));
        let wrong = headers(r#"{"a":1,"amqp-priority":"7"}"#).expect_err("a string");
        assert_eq!(
            wrong,
            r#"the header "amqp-priority" is "7", but must be an integer from 0 to 255"#
        );
    }

    #[test]
    fn a_header_of_the_plugin_asks_for_delay() {
        for (row, expected) in [(r#"{"x-delay":5000}"#, true), (r#"{"x-delayed":1}"#, false)] {
            assert_eq!(ask_for_delay(&headers(row).expect(row)), expected, "{row}");
        }
    }

    #[test]
    fn what_amqp_can_not_carry_is_said() {
        let long = format!(r#"{{"{}":1}}"#, "x".repeat(256));
        for (row, reason) in [
            ("[]", "the headers are an array, but must be an object"),
            (r#""x""#, "the headers are a string, but must be an object"),
            (
                r#"{"a":{"b":1}}"#,
                r#"the header "a" is an object, but must be a string, a number, a boolean or null"#,
            ),
            (
                r#"{"a":[1]}"#,
                r#"the header "a" is an array, but must be a string, a number, a boolean or null"#,
            ),
            (long.as_str(), "the name of a header is 256 bytes long, AMQP allows 255"),
        ] {
            assert_eq!(headers(row).expect_err(row), reason);
        }
        let huge = headers(r#"{"a":1e400}"#).expect_err("no double is that big");
        assert!(huge.starts_with("the headers can't be read: number out of range"), "{huge}");
    }
}

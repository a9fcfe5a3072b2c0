//! Properties and headers as JSON, for people. `return` publishes the bytes in `content_header`.

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::types::{AMQPValue, FieldTable, ShortString};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use time::format_description::well_known::Rfc3339;

use super::headers::{integer, lossy, timestamp};

/// Returns the properties that a message has, without its headers, by their names in the
/// specification.
pub(crate) fn properties(properties: &AMQPProperties) -> Value {
    let mut all = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            all.insert(name.to_owned(), value);
        }
    };
    let text = |text: &Option<ShortString>| {
        text.as_ref().map(|text| Value::String(lossy(text.as_str().as_bytes())))
    };
    add("content_type", text(properties.content_type()));
    add("content_encoding", text(properties.content_encoding()));
    add("delivery_mode", properties.delivery_mode().map(Value::from));
    add("priority", properties.priority().map(Value::from));
    add("correlation_id", text(properties.correlation_id()));
    add("reply_to", text(properties.reply_to()));
    add("expiration", text(properties.expiration()));
    add("message_id", text(properties.message_id()));
    add("timestamp", properties.timestamp().map(time));
    add("type", text(properties.kind()));
    add("user_id", text(properties.user_id()));
    add("app_id", text(properties.app_id()));
    add("cluster_id", text(properties.cluster_id()));
    Value::Object(all)
}

/// Returns a table of headers as an object. Text that is not UTF-8 is shown with replacements,
/// bytes in base64, times as RFC 3339.
pub(crate) fn table(table: &FieldTable) -> Value {
    let entries = table.inner().iter();
    Value::Object(
        entries.map(|(name, item)| (lossy(name.as_str().as_bytes()), value(item))).collect(),
    )
}

/// The recursion is bounded: `amqp` decodes nested tables to a limited depth only.
fn value(item: &AMQPValue) -> Value {
    match item {
        AMQPValue::Boolean(truth) => Value::Bool(*truth),
        // JSON knows neither infinity nor NaN: these are null.
        AMQPValue::Float(number) => Value::from(*number),
        AMQPValue::Double(number) => Value::from(*number),
        AMQPValue::DecimalValue(decimal) => {
            json!({ "scale": decimal.scale, "value": decimal.value })
        }
        AMQPValue::ShortString(text) => Value::String(lossy(text.as_str().as_bytes())),
        AMQPValue::LongString(text) => Value::String(lossy(text.as_bytes())),
        AMQPValue::FieldArray(items) => items.as_slice().iter().map(value).collect(),
        AMQPValue::Timestamp(seconds) => time(*seconds),
        AMQPValue::FieldTable(nested) => table(nested),
        AMQPValue::ByteArray(bytes) => Value::String(STANDARD.encode(bytes.as_slice())),
        number => integer(number).map_or(Value::Null, Value::from),
    }
}

/// Returns the time as RFC 3339, or as Unix seconds if its year has more than four digits.
fn time(seconds: u64) -> Value {
    let text = timestamp(seconds).and_then(|time| time.format(&Rfc3339).ok());
    text.map_or_else(|| Value::from(seconds), Value::String)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_form() {
        let mut nested = FieldTable::default();
        nested.insert("inner".into(), AMQPValue::Void);
        let mut headers = FieldTable::default();
        for (name, value) in [
            ("text", AMQPValue::LongString("a\0".into())),
            ("list", AMQPValue::FieldArray(vec![AMQPValue::LongLongInt(i64::MIN)].into())),
            ("table", AMQPValue::FieldTable(nested)),
            ("bytes", AMQPValue::ByteArray(vec![0, 255].into())),
            ("time", AMQPValue::Timestamp(0)),
            ("far", AMQPValue::Timestamp(u64::MAX)),
            ("nan", AMQPValue::Double(f64::NAN)),
            ("yes", AMQPValue::Boolean(true)),
        ] {
            headers.insert(name.into(), value);
        }
        let expected = json!({
            "text": "a\u{fffd}", "list": [i64::MIN], "table": { "inner": null }, "bytes": "AP8=",
            "time": "1970-01-01T00:00:00Z", "far": u64::MAX, "nan": null, "yes": true,
        });
        assert_eq!(table(&headers), expected);
    }

    #[test]
    fn only_properties_that_are_set_are_shown() {
        let some = AMQPProperties::default().with_delivery_mode(2).with_type("t".into());
        assert_eq!(properties(&some), json!({ "delivery_mode": 2, "type": "t" }));
        assert_eq!(properties(&AMQPProperties::default()), json!({}));
    }
}

//! Reserved headers of a row, whose names begin with `amqp-`: what they set of its message, instead
//! of being sent as headers.

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::ShortString;
use serde_json::Value;

use crate::publish::payload_encoding::PayloadEncoding;

/// How the names begin.
const PREFIX: &str = "amqp-";

const EXCHANGE: &str = "amqp-exchange";
const EXPIRATION: &str = "amqp-expiration";
const PRIORITY: &str = "amqp-priority";
const CORRELATION_ID: &str = "amqp-correlation-id";
const REPLY_TO: &str = "amqp-reply-to";
const CONTENT_TYPE: &str = "amqp-content-type";
const PAYLOAD_ENCODING: &str = "amqp-payload-encoding";

/// The pseudo-queue of direct reply-to (<https://www.rabbitmq.com/docs/direct-reply-to>): the broker
/// closes the channel over it, as nobody consumes from it on the relay's.
const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// Characters of a value that a reason shows.
const SHOWN: usize = 100;

/// What a row sets of its message besides headers. Without a reserved header nothing is set, and
/// nothing is allocated.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct RowProperties {
    /// Yet to be looked up among those that the relay may publish to.
    pub(crate) exchange: Option<ShortString>,
    pub(crate) content_type: Option<ShortString>,
    pub(crate) encoding: PayloadEncoding,
    expiration: Option<ShortString>,
    priority: Option<u8>,
    correlation_id: Option<ShortString>,
    reply_to: Option<ShortString>,
}

/// Whether a header of this name sets something else than a header.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.starts_with(PREFIX)
}

impl RowProperties {
    /// Sets what the reserved header `name` is for.
    ///
    /// # Errors
    /// A sentence that names the header and what is allowed.
    pub(crate) fn set(&mut self, name: &str, value: &Value) -> Result<(), String> {
        let wrong = |allowed: &str| reason(name, &shown(value), allowed);
        let text = || short_string(value).ok_or_else(|| wrong("a string of at most 255 bytes"));
        match name {
            EXCHANGE => self.exchange = Some(text()?),
            CORRELATION_ID => self.correlation_id = Some(text()?),
            CONTENT_TYPE => self.content_type = Some(text()?),
            REPLY_TO => {
                let queue = text()?;
                if queue.as_str() == DIRECT_REPLY_TO {
                    return Err(wrong("the name of a queue on which an answer is awaited"));
                }
                self.reply_to = Some(queue);
            }
            EXPIRATION => {
                let milliseconds = milliseconds(value)
                    .ok_or_else(|| wrong("milliseconds, an integer from 0 to 4294967295"))?;
                self.expiration = Some(milliseconds.to_string().into());
            }
            PRIORITY => {
                let priority = value.as_u64().and_then(|number| u8::try_from(number).ok());
                self.priority = Some(priority.ok_or_else(|| wrong("an integer from 0 to 255"))?);
            }
            PAYLOAD_ENCODING if value == "base64" => self.encoding = PayloadEncoding::Base64,
            PAYLOAD_ENCODING => return Err(wrong("\"base64\"")),
            _ => {
                return Err(format!(
                    "the header {} is none of {EXCHANGE}, {EXPIRATION}, {PRIORITY}, {CORRELATION_ID}, {REPLY_TO}, \
                     {CONTENT_TYPE} and {PAYLOAD_ENCODING}, for which names with {PREFIX} are reserved",
                    quoted(name)
                ));
            }
        }
        Ok(())
    }

    /// Adds them to those of the message, except for the content type.
    pub(crate) fn apply(self, mut properties: BasicProperties) -> BasicProperties {
        if let Some(expiration) = self.expiration {
            properties = properties.with_expiration(expiration);
        }
        if let Some(priority) = self.priority {
            properties = properties.with_priority(priority);
        }
        if let Some(correlation_id) = self.correlation_id {
            properties = properties.with_correlation_id(correlation_id);
        }
        if let Some(reply_to) = self.reply_to {
            properties = properties.with_reply_to(reply_to);
        }
        properties
    }
}

/// The reason why a row whose `amqp-exchange` is `named` can't be a message.
pub(crate) fn not_allowed(named: &ShortString, allowed: &str) -> String {
    reason(EXCHANGE, &quoted(named.as_str()), allowed)
}

/// The reason why a row with `amqp-payload-encoding` can't be a message under an envelope.
pub(crate) fn not_without_envelope() -> String {
    reason(PAYLOAD_ENCODING, "\"base64\"", "left out unless RELAY_ENVELOPE=none")
}

fn reason(name: &str, value: &str, allowed: &str) -> String {
    format!("the header \"{name}\" is {value}, but must be {allowed}")
}

fn short_string(value: &Value) -> Option<ShortString> {
    ShortString::try_new(value.as_str()?).ok()
}

/// At most what an Erlang timer can wait for.
fn milliseconds(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => u32::try_from(number.as_u64()?).ok(),
        Value::String(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            digits.parse().ok()
        }
        _ => None,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => quoted(text),
        plain => plain.to_string(),
    }
}

/// The text as JSON has it, cut if it is long.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", Value::from(&text[..end]), text.len()),
        None => Value::from(text).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(name: &str, value: &Value) -> Result<RowProperties, String> {
        let mut properties = RowProperties::default();
        properties.set(name, value).map(|()| properties)
    }

    fn applied(name: &str, value: &Value) -> BasicProperties {
        set(name, value).expect(name).apply(BasicProperties::default())
    }

    fn text(property: &Option<ShortString>) -> Option<&str> {
        property.as_ref().map(ShortString::as_str)
    }

    #[test]
    fn names_with_the_prefix_are_reserved() {
        assert!(is_reserved("amqp-priority") && is_reserved("amqp-"));
        for other in ["amqp", "AMQP-priority", "x-amqp-priority", "amqp_priority", ""] {
            assert!(!is_reserved(other), "{other}");
        }
    }

    #[test]
    fn each_sets_its_property() {
        for (value, expected) in [
            (json!(0), "0"),
            (json!(60_000), "60000"),
            (json!("60000"), "60000"),
            (json!("007"), "7"),
            (json!(u32::MAX), "4294967295"),
        ] {
            assert_eq!(text(applied(EXPIRATION, &value).expiration()), Some(expected), "{value}");
        }
        for priority in [0, 9, 255] {
            assert_eq!(applied(PRIORITY, &json!(priority)).priority(), &Some(priority));
        }
        let longest = "ä".repeat(127);
        for value in ["", "a b", &longest] {
            let value_of = |name| applied(name, &json!(value));
            assert_eq!(text(value_of(CORRELATION_ID).correlation_id()), Some(value));
            assert_eq!(text(value_of(REPLY_TO).reply_to()), Some(value));
            for (name, property) in [
                (CONTENT_TYPE, set(CONTENT_TYPE, &json!(value)).expect(value).content_type),
                (EXCHANGE, set(EXCHANGE, &json!(value)).expect(value).exchange),
            ] {
                assert_eq!(text(&property), Some(value), "{name}");
            }
        }
        let encoding = set(PAYLOAD_ENCODING, &json!("base64")).expect("known").encoding;
        assert_eq!(encoding, PayloadEncoding::Base64);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_allowed() {
        let milliseconds = "but must be milliseconds, an integer from 0 to 4294967295";
        for (value, said) in [
            (json!(-1), "-1"),
            (json!(1.5), "1.5"),
            (json!(60_000.0), "60000.0"),
            (json!(4_294_967_296_u64), "4294967296"),
            (json!("4294967296"), "\"4294967296\""),
            (json!(""), "\"\""),
            (json!("-1"), "\"-1\""),
            (json!("+1"), "\"+1\""),
            (json!(" 1"), "\" 1\""),
            (json!("1s"), "\"1s\""),
            (json!("1.0"), "\"1.0\""),
            (json!(true), "true"),
            (json!(null), "null"),
            (json!([1]), "an array"),
            (json!({"a": 1}), "an object"),
        ] {
            let expected = format!("the header \"amqp-expiration\" is {said}, {milliseconds}");
            assert_eq!(set(EXPIRATION, &value), Err(expected));
        }
        for value in [json!(-1), json!(256), json!(1.0), json!("1"), json!(null), json!(false)] {
            let expected = format!(
                "the header \"amqp-priority\" is {value}, but must be an integer from 0 to 255"
            );
            assert_eq!(set(PRIORITY, &value), Err(expected));
        }
        for name in [EXCHANGE, CORRELATION_ID, REPLY_TO, CONTENT_TYPE] {
            for value in [json!(7), json!(true), json!(null)] {
                let expected = format!(
                    "the header \"{name}\" is {value}, but must be a string of at most 255 bytes"
                );
                assert_eq!(set(name, &value), Err(expected));
            }
            let long = set(name, &json!("x".repeat(256))).expect_err("too long");
            let shown = format!("is \"{}\"… (256 bytes), but must be", "x".repeat(100));
            assert!(long.contains(&shown), "{long}");
            assert!(set(name, &json!({})).expect_err("no text").contains(" is an object, but "));
        }
        assert_eq!(
            set(REPLY_TO, &json!("amq.rabbitmq.reply-to")).expect_err("nobody consumes from it"),
            "the header \"amqp-reply-to\" is \"amq.rabbitmq.reply-to\", but must be the name of a queue on which an \
             answer is awaited"
        );
        for value in [json!("BASE64"), json!("gzip"), json!(64), json!(null)] {
            let expected =
                format!("the header \"amqp-payload-encoding\" is {value}, but must be \"base64\"");
            assert_eq!(set(PAYLOAD_ENCODING, &value), Err(expected));
        }
    }

    #[test]
    fn an_unknown_name_is_said_with_those_that_are_known() {
        let expected = "the header \"amqp-type\" is none of amqp-exchange, amqp-expiration, amqp-priority, \
                        amqp-correlation-id, amqp-reply-to, amqp-content-type and amqp-payload-encoding, for which \
                        names with amqp- are reserved";
        assert_eq!(set("amqp-type", &json!("x")), Err(expected.to_owned()));
        let long = set(&format!("amqp-{}\n", "x".repeat(300)), &json!(1)).expect_err("unknown");
        assert!(long.contains("… (306 bytes) is none of"), "{long}");
        assert!(
            set("amqp-\n", &json!(1))
                .expect_err("unknown")
                .starts_with(r#"the header "amqp-\n" is"#)
        );
    }
}

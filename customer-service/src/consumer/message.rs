//! Parses messages: the default envelope, or CloudEvents 1.0 in structured JSON.

use amqp::Delivery;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::headers::truncate;

/// The event type that is counted.
const ORDER_CREATED: &str = "order.created";

/// The largest body that is parsed. Bodies of events have a few hundred bytes.
const MAX_BODY_SIZE: usize = 1024 * 1024;

/// A message of the queue and what its body says.
pub(super) struct Message {
    pub(super) delivery: Delivery,
    pub(super) parsed: Parsed,
}

impl Message {
    /// Parses the body of `delivery`.
    pub(super) fn new(delivery: Delivery) -> Self {
        let parsed = parse(&delivery.body, delivery.content_type(), delivery.kind());
        Self { delivery, parsed }
    }
}

/// The event `order.created`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OrderCreated {
    pub(super) event_id: Uuid,
    pub(super) customer_id: Uuid,
    /// When the order was created, if the message says so.
    pub(super) occurred_at: Option<OffsetDateTime>,
}

/// The result of parsing a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Parsed {
    /// An order to count.
    Order(OrderCreated),
    /// An event of a type that is not counted.
    Ignored,
    /// A message that can never be processed, and why.
    Malformed(String),
}

/// The members of both envelopes that are used. Their values are checked one by one, so that an
/// error names the member.
#[derive(Deserialize)]
struct Envelope<'a> {
    // Both
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    // Default
    event_id: Option<Value>,
    event: Option<Value>,
    occurred_at: Option<Value>,
    // CloudEvents
    specversion: Option<Value>,
    id: Option<Value>,
    r#type: Option<Value>,
    time: Option<Value>,
}

#[derive(Deserialize)]
struct Data {
    customer_public_id: Option<Value>,
}

/// Parses `body`, which takes precedence over the properties `content_type` and `message_type`. The
/// routing key is not used: after the retry queue it is the name of the work queue.
fn parse(body: &[u8], content_type: Option<&str>, message_type: Option<&str>) -> Parsed {
    // It may quote the body, and is logged.
    try_parse(body, content_type, message_type)
        .unwrap_or_else(|reason| Parsed::Malformed(truncate(&reason)))
}

fn try_parse(
    body: &[u8],
    content_type: Option<&str>,
    message_type: Option<&str>,
) -> Result<Parsed, String> {
    if body.len() > MAX_BODY_SIZE {
        return Err(format!("the body of {} bytes is larger than {MAX_BODY_SIZE}", body.len()));
    }
    // serde would also read a struct from an array of its members.
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err("the body is no JSON object".to_owned());
    }
    // Members that are not read would be skipped, whatever their bytes are.
    let body = std::str::from_utf8(body)
        .map_err(|error| format!("the body is not JSON: it is not UTF-8: {error}"))?;
    let envelope: Envelope<'_> = serde_json::from_str(body).map_err(|error| parse_error(&error))?;

    let cloud_event = envelope.specversion.is_some() || content_type.is_some_and(is_cloud_event);
    let (id_member, id, type_member, event_type, occurred_at) = if cloud_event {
        ("id", envelope.id, "type", envelope.r#type, envelope.time)
    } else {
        ("event_id", envelope.event_id, "event", envelope.event, envelope.occurred_at)
    };
    let event_type = match (&event_type, message_type) {
        (Some(Value::String(event_type)), _) => event_type.as_str(),
        (None, Some(message_type)) => message_type,
        (None, None) => return Err(format!("the body's member {type_member} is missing")),
        (Some(_), _) => return Err(format!("{type_member} is no string")),
    };
    if event_type != ORDER_CREATED {
        return Ok(Parsed::Ignored);
    }
    let event_id = uuid(id_member, id.as_ref())?;
    let data = envelope.data.ok_or("the body's member data is missing")?;
    if !data.get().starts_with('{') {
        return Err("data is no JSON object".to_owned());
    }
    let data: Data = serde_json::from_str(data.get()).map_err(|error| parse_error(&error))?;
    Ok(Parsed::Order(OrderCreated {
        event_id,
        customer_id: uuid("data.customer_public_id", data.customer_public_id.as_ref())?,
        occurred_at: occurred_at
            .as_ref()
            .and_then(Value::as_str)
            .and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok()),
    }))
}

fn is_cloud_event(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/cloudevents+json")
}

fn parse_error(error: &serde_json::Error) -> String {
    match error.classify() {
        // Valid JSON of another shape: no object, or a member twice.
        serde_json::error::Category::Data => format!("the body is no event: {error}"),
        _ => format!("the body is not JSON: {error}"),
    }
}

fn uuid(member: &str, value: Option<&Value>) -> Result<Uuid, String> {
    match value {
        None => Err(format!("the body's member {member} is missing")),
        Some(Value::String(text)) => text.parse().map_err(|_| format!("{member} is no UUID")),
        Some(_) => Err(format!("{member} is no UUID")),
    }
}

#[cfg(test)]
mod tests;

//! Messages as real and broken clients send them, each with what must become of it: drawn from a
//! seed.

mod headers;

use lapin::BasicProperties;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::consumer_fixture::order_created;
use headers::headers;

/// The largest body that the consumer reads.
const MAX_BODY_SIZE: usize = 1 << 20;
/// The longest short string of AMQP.
const LONGEST: usize = 255;

/// What must become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is counted.
    Counted,
    /// It is an event that was counted before.
    Duplicate,
    /// It is an event of no concern.
    Ignored,
    /// It is a dead letter.
    Dead,
}

/// A message and what must become of it.
#[derive(Debug, Clone)]
pub struct Hostile {
    /// Its body.
    pub body: Vec<u8>,
    /// Its properties, all of which RabbitMQ accepts.
    pub properties: BasicProperties,
    /// What must become of it.
    pub fate: Fate,
}

/// Draws `count` messages, whose valid orders are those of `customer`.
#[must_use]
pub fn draw(seed: u64, count: usize, customer: Uuid) -> Vec<Hostile> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut messages: Vec<Hostile> = Vec::new();
    while messages.len() < count {
        let earlier = (!messages.is_empty()).then(|| rng.random_range(0..messages.len()));
        let again = earlier.map(|place| messages[place].clone());
        let again = again.filter(|message| message.fate == Fate::Counted && rng.random_bool(0.1));
        messages.push(match again {
            Some(message) => Hostile { fate: Fate::Duplicate, ..message },
            None => message(&mut rng, customer),
        });
    }
    messages
}

fn message(rng: &mut StdRng, customer: Uuid) -> Hostile {
    let mut order = order_created(uuid(rng), customer);
    let mut kind = None;
    let mut content_type = None;
    let (body, fate) = match rng.random_range(0..24) {
        0..5 => (order.to_string().into_bytes(), Fate::Counted),
        5 => (structured(&order).to_string().into_bytes(), Fate::Counted),
        6 => {
            content_type = Some("Application/CloudEvents+JSON; charset=utf-8");
            let mut event = structured(&order);
            remove(&mut event, "specversion");
            (event.to_string().into_bytes(), Fate::Counted)
        }
        7 => {
            // The property takes the member's place.
            kind = Some("order.created");
            remove(&mut order, "event");
            (order.to_string().into_bytes(), Fate::Counted)
        }
        8 => {
            order["event"] = json!("order.shipped");
            (order.to_string().into_bytes(), Fate::Ignored)
        }
        9 => {
            kind = Some("order.shipped");
            (b"{}".to_vec(), Fate::Ignored)
        }
        10 => {
            // What nobody reads may be beyond every range.
            let text = order.to_string();
            (
                text.replacen('{', r#"{"note":[1e999,-0,123456789012345678901234567890],"#, 1)
                    .into(),
                Fate::Counted,
            )
        }
        11 => match rng.random_range(0..40) {
            0 => (padded(&order, MAX_BODY_SIZE), Fate::Counted),
            1 => (padded(&order, MAX_BODY_SIZE + 1), Fate::Dead),
            _ => (padded(&order, 5_000), Fate::Counted),
        },
        12 => (b"null".to_vec(), Fate::Dead),
        13 => {
            let whole = order.to_string().into_bytes();
            (whole[..rng.random_range(0..whole.len())].to_vec(), Fate::Dead)
        }
        14 => {
            // Within a string.
            let mut invalid = order.to_string().into_bytes();
            let place = invalid.windows(5).position(|five| five == b"order").unwrap_or_default();
            invalid[place] = rng.random_range(0xf8..=0xff);
            (invalid, Fate::Dead)
        }
        15 => {
            let levels = rng.random_range(200..60_000);
            let deep = format!(r#"{{"event_id":{}"#, "[".repeat(levels));
            (deep.into_bytes(), Fate::Dead)
        }
        16 => {
            let text = order.to_string();
            (text.replacen('{', &format!(r#"{{"event_id":"{}","#, uuid(rng)), 1).into(), Fate::Dead)
        }
        17 => {
            let (member, value) = wrong_member(rng);
            order[member] = value;
            (order.to_string().into_bytes(), Fate::Dead)
        }
        18 => {
            let member = ["event_id", "data"][rng.random_range(0..2)];
            remove(&mut order, member);
            (order.to_string().into_bytes(), Fate::Dead)
        }
        19 => {
            let mut noise = vec![0; rng.random_range(1..2_000)];
            rng.fill(&mut noise[..]);
            noise[0] = 0xff;
            (noise, Fate::Dead)
        }
        20 => (vec![b" \t\r\n"[rng.random_range(0..4)]; rng.random_range(0..50)], Fate::Dead),
        21 => ([b"\xef\xbb\xbf", order.to_string().as_bytes()].concat(), Fate::Dead),
        22 => {
            let utf16 = order.to_string().encode_utf16().flat_map(u16::to_le_bytes).collect();
            (utf16, Fate::Dead)
        }
        // Of an unknown customer: a dead letter after its retries.
        _ => (order_created(uuid(rng), uuid(rng)).to_string().into_bytes(), Fate::Dead),
    };
    let mut properties = properties(rng);
    if let Some(kind) = kind {
        properties = properties.with_type(kind.into());
    }
    if let Some(content_type) = content_type {
        properties = properties.with_content_type(content_type.into());
    }
    Hostile { body, properties, fate }
}

fn uuid(rng: &mut StdRng) -> Uuid {
    Uuid::from_u128(rng.random())
}

fn remove(event: &mut Value, member: &str) {
    event.as_object_mut().map(|members| members.remove(member));
}

/// The same as a CloudEvent.
fn structured(order: &Value) -> Value {
    json!({
        "specversion": "1.0", "id": order["event_id"], "type": "order.created",
        "source": "/orders", "time": order["occurred_at"], "data": order["data"],
    })
}

/// An order with so many bytes.
fn padded(order: &Value, size: usize) -> Vec<u8> {
    let mut body = order.to_string().into_bytes();
    body.resize(size.max(body.len()), b' ');
    body
}

/// A member of an event with a value that it can't have.
fn wrong_member(rng: &mut StdRng) -> (&'static str, Value) {
    let member = ["event_id", "event", "data"][rng.random_range(0..3)];
    let value = match rng.random_range(0..7) {
        // Null is the same as absent, and then the property tells the type.
        0 if member != "event" => Value::Null,
        0 | 1 => json!(u64::MAX),
        2 => json!(-1.5e300),
        3 => json!([[], [[]]]),
        4 => json!(true),
        5 if member == "event" => json!({}),
        5 => json!("x".repeat(100_000)),
        _ if member == "data" => json!({ "customer_public_id": "\u{202e}\0" }),
        _ => json!({ "a": "\u{feff}" }),
    };
    (member, value)
}

/// Each is absent, usual, or as long or as large as AMQP allows.
fn properties(rng: &mut StdRng) -> BasicProperties {
    let mut properties = BasicProperties::default();
    let mut text = |usual: &str| {
        let longest = ["x", "\u{202e}", "\u{1f4a3}"][rng.random_range(0..3)];
        match rng.random_range(0..4) {
            0 => Some(usual.to_owned()),
            1 => Some(String::new()),
            2 => Some(longest.repeat(LONGEST / longest.len())),
            _ => None,
        }
    };
    if let Some(text) = text("application/json") {
        properties = properties.with_content_type(text.into());
    }
    if let Some(text) = text("gzip") {
        properties = properties.with_content_encoding(text.into());
    }
    if let Some(text) = text("correlation") {
        properties = properties.with_correlation_id(text.into());
    }
    if let Some(text) = text("replies") {
        properties = properties.with_reply_to(text.into());
    }
    if let Some(text) = text("7e0c4a34-6b1e-4d0c-9a4b-0f4f0a6b1a11") {
        properties = properties.with_message_id(text.into());
    }
    if let Some(text) = text("order.created") {
        properties = properties.with_type(text.into());
    }
    if let Some(text) = text("a-program") {
        properties = properties.with_app_id(text.into());
    }
    if rng.random_bool(0.5) {
        properties = properties.with_delivery_mode(rng.random_range(1..=2));
    }
    if rng.random_bool(0.5) {
        properties = properties.with_priority(rng.random());
    }
    if rng.random_bool(0.5) {
        properties = properties.with_timestamp([0, 1, u64::MAX][rng.random_range(0..3)]);
    }
    if rng.random_bool(0.5) { properties.with_headers(headers(rng)) } else { properties }
}

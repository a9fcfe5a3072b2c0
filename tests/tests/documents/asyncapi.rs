//! The published messages match `openapi/asyncapi.yaml`, and the document's examples match them.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use jsonschema::Validator;
use lapin::message::BasicGetMessage;
use lapin::types::AMQPValue;
use pipeline_tests::order_api::OrderApi;
use pipeline_tests::outbox::{EXCHANGE, Outbox, eventually};
use pipeline_tests::relay_command::outbox_relay;
use pipeline_tests::relay_role::relay_url;
use serde_json::{Map, Value, json};
use stack::{Database, Service};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// All event types, in the order in which two orders cause them.
const EVENTS: [&str; 6] = [
    "order.created",
    "order.processing",
    "order.shipped",
    "order.delivered",
    "order.created",
    "order.cancelled",
];

fn file(name: &str) -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(stack::root().join("openapi").join(name))?)
}

fn document() -> anyhow::Result<Value> {
    Ok(serde_saphyr::from_str(&file("asyncapi.yaml")?)?)
}

/// The document's definition of a message.
struct Described {
    payload: Validator,
    headers: Validator,
    properties: Validator,
}

impl Described {
    fn new(document: &Value, message: &str) -> anyhow::Result<Self> {
        let part =
            |part: &str| validator(document, &format!("/components/messages/{message}/{part}"));
        Ok(Self {
            payload: part("payload")?,
            headers: part("headers")?,
            properties: part("x-amqp-properties")?,
        })
    }

    fn check(&self, message: &Parts) -> anyhow::Result<()> {
        conforms("payload", &self.payload, &message.payload)?;
        conforms("headers", &self.headers, &message.headers)?;
        conforms("properties", &self.properties, &message.properties)
    }
}

fn validator(document: &Value, pointer: &str) -> anyhow::Result<Validator> {
    ensure!(document.pointer(pointer).is_some(), "the document has no {pointer}");
    compile(&json!({"$ref": format!("test:///asyncapi.yaml#{pointer}")}), document)
}

fn compile(schema: &Value, document: &Value) -> anyhow::Result<Validator> {
    let cloud_events: Value = serde_json::from_str(&file("cloudevents-1.0.2.schema.json")?)?;
    jsonschema::draft7::options()
        .should_validate_formats(true)
        .with_document("test:///asyncapi.yaml".to_owned(), document.clone())
        .with_document("test:///cloudevents-1.0.2.schema.json".to_owned(), cloud_events)
        .build(schema)
        .map_err(|error| anyhow::anyhow!("{error}"))
}

fn conforms(what: &str, schema: &Validator, instance: &Value) -> anyhow::Result<()> {
    let faults: Vec<String> = match schema.validate(instance) {
        Ok(()) => return Ok(()),
        Err(errors) => errors.map(|error| format!("{error} at {}", error.instance_path)).collect(),
    };
    anyhow::bail!("{what}: {}\n{instance:#}", faults.join("; "))
}

/// A message as JSON.
#[derive(Debug, Clone)]
struct Parts {
    payload: Value,
    headers: Value,
    properties: Value,
}

fn parts(message: &BasicGetMessage) -> anyhow::Result<Parts> {
    let delivery = &message.delivery;
    let properties = &delivery.properties;
    let text = |text: &Option<lapin::types::ShortString>| text.as_ref().map(ToString::to_string);
    let headers: Map<String, Value> = properties
        .headers()
        .iter()
        .flat_map(lapin::types::FieldTable::inner)
        .map(|(name, value)| Ok((name.to_string(), plain(value)?)))
        .collect::<anyhow::Result<_>>()?;
    Ok(Parts {
        payload: serde_json::from_slice(&delivery.data)?,
        headers: headers.into(),
        properties: json!({
            "content_type": text(properties.content_type()),
            "delivery_mode": properties.delivery_mode(),
            "message_id": text(properties.message_id()),
            "type": text(properties.kind()),
            "timestamp": properties.timestamp(),
            "app_id": text(properties.app_id()),
        }),
    })
}

fn plain(value: &AMQPValue) -> anyhow::Result<Value> {
    Ok(match value {
        AMQPValue::LongString(text) => Value::from(text.to_string()),
        AMQPValue::LongLongInt(number) => Value::from(*number),
        AMQPValue::LongInt(number) => Value::from(*number),
        AMQPValue::Double(number) => Value::from(*number),
        AMQPValue::Boolean(truth) => Value::from(*truth),
        AMQPValue::Void => Value::Null,
        other => anyhow::bail!("a header that is no plain value: {other:?}"),
    })
}

/// Creates orders, changes them in every way, publishes with `envelope`, and takes the messages.
/// The last one is a replay.
async fn published(envelope: &str) -> anyhow::Result<Vec<BasicGetMessage>> {
    let broker = Outbox::new().await?;
    broker.queue("all", "#").await?;
    let (database, _api) = orders().await?;
    let owner = pipeline_tests::pipeline::connect(&database.url).await?;
    let settings = [
        ("DATABASE_URL", relay_url(&database, &owner).await?),
        ("RABBITMQ_URL", broker.vhost.amqp_url.clone()),
        ("RELAY_ENVELOPE", envelope.to_owned()),
        ("OPS_ADDR", "127.0.0.1:0".to_owned()),
    ];
    let program = stack::binary("outbox-relay").await?;
    let relay = Service::spawn(&program, ["run"], settings.clone()).await?;

    let mut messages = Vec::new();
    eventually("all events have arrived", async || {
        messages.extend(broker.take_all("all").await?);
        Ok(messages.len() >= EVENTS.len())
    })
    .await
    .with_context(|| relay.last_lines())?;
    let replay = ["replay", "--type", "order.shipped", "--reason", "a trial", "--yes"];
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let replay = outbox_relay(&replay, &settings).await?;
    ensure!(replay.code == Some(0), "{replay:?}");
    messages.extend(broker.take_all("all").await?);
    Ok(messages)
}

async fn orders() -> anyhow::Result<(Database, OrderApi)> {
    let database = stack::shared().await?.database("orders").await?;
    let api = OrderApi::launch(&database.url, &["--customer-check", "off"]).await?;
    api.ready().await?;
    let order = pipeline_tests::order_api::order();
    let traced = api.post(&order).header("traceparent", TRACEPARENT).header("tracestate", "a=1");
    let traced = pipeline_tests::order_api::accepted(traced.send().await?).await?;
    let id = traced["id"].as_str().context("an id")?;
    for status in ["processing", "shipped", "delivered"] {
        ensure!(api.patch(id, status).await?.status().is_success(), "{status}");
    }
    let other = api.create().await?;
    ensure!(api.patch(&other, "cancelled").await?.status().is_success(), "cancelled");
    Ok((database, api))
}

/// Publishes with `envelope` and validates every message against the document's `message`.
async fn holds(envelope: &str, message: &str) -> anyhow::Result<()> {
    let document = document()?;
    let described = Described::new(&document, message)?;
    let messages = published(envelope).await?;
    assert_eq!(messages.len(), EVENTS.len() + 1);
    let routing_keys = &document["channels"]["orderEvents"]["parameters"]["eventType"]["enum"];
    let mut seen = BTreeSet::new();
    for message in &messages {
        let delivery = &message.delivery;
        assert_eq!(delivery.exchange.as_str(), EXCHANGE);
        described.check(&parts(message)?)?;
        seen.insert(delivery.routing_key.to_string());
    }
    let listed: BTreeSet<String> = serde_json::from_value(routing_keys.clone())?;
    assert_eq!(seen, listed, "each routing key of the document was seen, and no other");
    let (first, last) = (parts(&messages[0])?, parts(&messages[EVENTS.len()])?);
    assert_eq!(first.headers["traceparent"], TRACEPARENT);
    assert_eq!(last.headers["x-replayed"], true);

    // The schema is strict: it rejects what no relay would send.
    let id = if envelope == "default" { "event_id" } else { "id" };
    for (what, part, member, wrong) in [
        ("no id", "payload", id, Value::Null),
        ("a price with three decimals", "payload", "/data/price", json!("1.005")),
        ("a header that is a list", "headers", "more", json!([1])),
        ("no aggregate", "headers", "aggregate-id", Value::Null),
        ("a row's id that is no integer", "headers", "outbox-id", json!("4711")),
        ("a message that a restart loses", "properties", "delivery_mode", json!(1)),
        ("another content type", "properties", "content_type", json!("text/plain")),
    ] {
        let mut spoilt = first.clone();
        let place = match part {
            "payload" => &mut spoilt.payload,
            "headers" => &mut spoilt.headers,
            _ => &mut spoilt.properties,
        };
        match place.pointer_mut(member) {
            Some(place) if member.starts_with('/') => *place = wrong,
            _ => place[member] = wrong,
        }
        assert!(described.check(&spoilt).is_err(), "{what} is refused");
    }
    Ok(())
}

#[tokio::test]
async fn each_event_of_an_order_is_as_the_document_says() -> anyhow::Result<()> {
    holds("default", "orderEvent").await
}

#[tokio::test]
async fn each_event_as_a_cloud_event_is_as_the_document_and_cloud_events_own_schema_say()
-> anyhow::Result<()> {
    holds("cloudevents", "orderCloudEvent").await?;
    // The schema includes the official one: a message without its members is invalid.
    let schema = json!({"$ref": "test:///cloudevents-1.0.2.schema.json"});
    let official = compile(&schema, &document()?)?;
    assert!(
        official.is_valid(&json!({"specversion": "1.0", "id": "1", "source": "/x", "type": "t"}))
    );
    assert!(!official.is_valid(&json!({"specversion": "1.0", "id": "1", "type": "t"})));
    Ok(())
}

#[test]
fn the_documents_examples_are_as_it_says() -> anyhow::Result<()> {
    let document = document()?;
    for message in ["orderEvent", "orderCloudEvent"] {
        let described = Described::new(&document, message)?;
        let examples = document["components"]["messages"][message]["examples"].as_array();
        for example in examples.context("examples")? {
            conforms("payload", &described.payload, &example["payload"])?;
            conforms("headers", &described.headers, &example["headers"])?;
        }
    }
    Ok(())
}

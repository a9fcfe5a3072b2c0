//! Other programs' messages on the exchange: events of their own, sent twice, and poison.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation, Connection, ConnectionProperties};
use rand::RngExt as _;
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use super::orders::CUSTOMERS;
use super::{Shared, one_of, rng};

const EXCHANGE: &str = "orders.events";
const KEY: &str = "order.created";
const PATIENCE: Duration = Duration::from_secs(20);
/// What no consumer can process.
const POISON: [&str; 4] =
    ["{", "[]", r#"{"event_id": "x"}"#, r#"{"event_id": "0190163d-8694-739b-aea5-966c26f8ad91"}"#];

/// Publishes a message, some of them twice.
pub(super) async fn message(shared: Arc<Shared>, number: u64) -> anyhow::Result<()> {
    let mut rng = rng(number);
    let id = Uuid::new_v4().to_string();
    let is_poison = rng.random_bool(0.3);
    let customer = *one_of(&mut rng, &CUSTOMERS);
    let body = if is_poison {
        (*one_of(&mut rng, &POISON)).to_owned()
    } else {
        json!({ "event_id": id, "event": KEY, "data": { "order_public_id": id, "customer_public_id": customer } })
            .to_string()
    };
    let node = one_of(&mut rng, &shared.topology.amqp_urls).clone();
    let times = if !is_poison && rng.random_bool(0.5) { 2 } else { 1 };
    let published = timeout(PATIENCE, publish(&node, &id, &body, times)).await;
    let confirmed = matches!(published, Ok(Ok(())));
    if !confirmed {
        shared.troubles.add();
    }
    let (kind, customer) = if is_poison { ("poison", None) } else { ("event", Some(customer)) };
    shared.history.record(
        "foreign",
        &json!({ "kind": kind, "message_id": id, "customer": customer, "confirmed": confirmed }),
    );
    Ok(())
}

async fn publish(url: &str, id: &str, body: &str, times: usize) -> anyhow::Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    for _ in 0..times {
        let properties =
            BasicProperties::default().with_message_id(id.into()).with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        let confirm = channel.basic_publish(
            EXCHANGE.into(),
            KEY.into(),
            options,
            body.as_bytes(),
            properties,
        );
        let confirmation = confirm.await?.await?;
        (confirmation == Confirmation::Ack(None)).then_some(()).context("not confirmed")?;
    }
    Ok(connection.close(200, "".into()).await?)
}

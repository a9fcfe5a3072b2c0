//! Publishes events by code that shares nothing with the relay.

use anyhow::ensure;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Confirmation};
use serde_json::{Value, json};
use uuid::Uuid;

use super::ConsumerFixture;

const EVENTS: &str = "orders.events";
const MANDATORY: BasicPublishOptions = BasicPublishOptions { mandatory: true, immediate: false };

impl ConsumerFixture {
    /// Publishes an event and waits for its confirm.
    ///
    /// # Errors
    /// When the broker does not take it.
    pub async fn publish(&self, body: &Value) -> anyhow::Result<()> {
        self.publish_all([body.to_string().into_bytes()]).await
    }

    /// Publishes many bodies and waits for all confirms.
    ///
    /// # Errors
    /// When the broker does not take one of them.
    pub async fn publish_all(
        &self,
        bodies: impl IntoIterator<Item = Vec<u8>>,
    ) -> anyhow::Result<()> {
        let mut confirms = Vec::new();
        for body in bodies {
            let properties = BasicProperties::default()
                .with_delivery_mode(2)
                .with_content_type("application/json".into());
            confirms.push(
                self.channel
                    .basic_publish(
                        EVENTS.into(),
                        "order.created".into(),
                        MANDATORY,
                        &body,
                        properties,
                    )
                    .await?,
            );
        }
        for confirm in confirms {
            ensure!(confirm.await? == Confirmation::Ack(None), "a message was not taken");
        }
        Ok(())
    }

    /// Sends a message directly to a queue. Returns whether the queue accepted it.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn send_to(&self, queue: &str, body: &[u8]) -> anyhow::Result<bool> {
        let properties = BasicProperties::default().with_delivery_mode(2);
        let publish =
            self.channel.basic_publish("".into(), queue.into(), MANDATORY, body, properties);
        Ok(publish.await?.await? == Confirmation::Ack(None))
    }

    /// Publishes one message with these properties and waits for its confirm.
    ///
    /// # Errors
    /// When the broker does not take it.
    pub async fn publish_as(
        &self,
        routing_key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> anyhow::Result<()> {
        let confirm = self
            .channel
            .basic_publish(EVENTS.into(), routing_key.into(), MANDATORY, body, properties)
            .await?;
        ensure!(confirm.await? == Confirmation::Ack(None), "the message was not taken");
        Ok(())
    }
}

/// The body of an `order.created`, as the contract defines it.
#[must_use]
pub fn order_created(event_id: Uuid, customer: Uuid) -> Value {
    json!({
        "event_id": event_id,
        "event": "order.created",
        "occurred_at": "2026-02-01T22:25:31.123456Z",
        "data": {"order_public_id": Uuid::new_v4(), "customer_public_id": customer},
    })
}

/// The bodies of `number` events of one customer.
#[must_use]
pub fn orders_of(number: usize, customer: Uuid) -> Vec<Vec<u8>> {
    let body = |_| order_created(Uuid::now_v7(), customer).to_string().into_bytes();
    (0..number).map(body).collect()
}

/// The bodies of `number` events of one customer, each of 900 kB: consumers ignore unknown members.
pub fn large_orders_of(number: usize, customer: Uuid) -> impl Iterator<Item = Vec<u8>> {
    (0..number).map(move |_| {
        let mut body = order_created(Uuid::now_v7(), customer);
        body["data"]["note"] = json!("x".repeat(900_000));
        body.to_string().into_bytes()
    })
}

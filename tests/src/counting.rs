//! A consumer under test: its database, its broker, a publisher that shares no code with the relay, and looks at the queues.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lapin::message::Delivery;
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::{Value, json};
use stack::{Database, Service, Vhost};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::consumer::Consumer;
use crate::pipeline::{PATIENCE, connect};

/// The queue that the consumer reads.
pub const QUEUE: &str = "customer.orders_count";
/// Where messages wait for their retry.
pub const RETRY_QUEUE: &str = "customer.orders_count.retry";
/// Where messages wait for a person.
pub const DEAD_LETTER_QUEUE: &str = "customer.orders_count.dlq";

const EVENTS: &str = "orders.events";
const MANDATORY: BasicPublishOptions = BasicPublishOptions { mandatory: true, immediate: false };

/// What a consumer works with.
#[derive(Debug)]
pub struct Counting {
    /// The customer database.
    pub database: Database,
    /// Where the messages are.
    pub broker: Vhost,
    /// A connection to that database.
    pub sql: Client,
    /// A channel with confirms.
    pub channel: Channel,
    connection: Connection,
}

impl Counting {
    /// An empty customer database and an empty virtual host of the shared servers.
    ///
    /// # Errors
    /// When the servers do not start.
    pub async fn start() -> anyhow::Result<Self> {
        let servers = stack::shared().await?;
        Self::with(servers.database("customers").await?, servers.vhost("consumer").await?).await
    }

    /// With a database and a virtual host of given servers.
    ///
    /// # Errors
    /// When they do not answer.
    pub async fn with(database: Database, broker: Vhost) -> anyhow::Result<Self> {
        let url = database.url.parse().map_err(anyhow::Error::msg)?;
        service_kit::postgres::migrate(&url, customer_service::schema::migrations()).await?;
        let sql = connect(&database.url).await?;
        let (connection, channel) = open(&broker).await?;
        Ok(Self { database, broker, sql, channel, connection })
    }

    /// Connects to the broker anew, after a restart of it.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub async fn reconnect(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match open(&self.broker).await {
                Ok((connection, channel)) => {
                    (self.connection, self.channel) = (connection, channel);
                    return Ok(());
                }
                Err(error) => ensure!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A channel on a connection of its own, which the broker may close.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn another_channel(&self) -> anyhow::Result<(Connection, Channel)> {
        open(&self.broker).await
    }

    /// A new customer.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn customer(&self) -> anyhow::Result<Uuid> {
        let id = Uuid::new_v4();
        self.add_customer(id).await?;
        Ok(id)
    }

    /// The customer with this id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn add_customer(&self, id: Uuid) -> anyhow::Result<()> {
        let insert = "INSERT INTO customers (id, name, address) VALUES ($1, 'Juan', 'Bogotá')";
        self.sql.execute(insert, &[&id]).await?;
        Ok(())
    }

    /// A consumer in this process, ready to work. `settings` are flags and their values.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn consumer(&self, settings: &[&str]) -> anyhow::Result<Consumer> {
        let consumer = self.unready_consumer(settings).await?;
        consumer.ready().await?;
        Ok(consumer)
    }

    /// A consumer in this process, of which nothing is expected yet.
    ///
    /// # Errors
    /// When its settings are wrong.
    pub async fn unready_consumer(&self, settings: &[&str]) -> anyhow::Result<Consumer> {
        Consumer::launch(&self.database.url, &self.broker.amqp_url, settings).await
    }

    /// A consumer as a process of its own.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn consumer_process(&self, settings: &[(&str, &str)]) -> anyhow::Result<Service> {
        let common = [
            ("DATABASE_URL", self.database.url.as_str()),
            ("RABBITMQ_URL", self.broker.amqp_url.as_str()),
            ("OPS_ADDR", "127.0.0.1:0"),
        ];
        let settings = common.into_iter().chain(settings.iter().copied());
        Service::spawn(stack::binary("customer-service").await?, ["consumer"], settings).await
    }

    /// Publishes an event as any service would, and waits until a queue has it.
    ///
    /// # Errors
    /// When the broker does not take it.
    pub async fn publish(&self, body: &Value) -> anyhow::Result<()> {
        self.publish_all([body.to_string().into_bytes()]).await
    }

    /// Publishes many bodies at once.
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

    /// Publishes one message with these properties, and waits until a queue has it.
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

    /// A customer's count.
    ///
    /// # Errors
    /// When there is no such customer.
    pub async fn count(&self, customer: Uuid) -> anyhow::Result<i64> {
        let select = "SELECT orders_count FROM customers WHERE id = $1";
        Ok(self.sql.query_one(select, &[&customer]).await?.get(0))
    }

    /// Waits until a customer's count is `expected`; a higher one fails at once.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn counted(&self, customer: Uuid, expected: i64) -> anyhow::Result<()> {
        until(async || {
            let count = self.count(customer).await?;
            ensure!(count <= expected, "counted {count} of {expected}");
            Ok((count == expected).then_some(()))
        })
        .await
        .with_context(|| format!("{expected} orders of {customer}"))
    }

    /// How many messages of a queue are not with a consumer.
    ///
    /// # Errors
    /// When there is no such queue.
    pub async fn waiting(&self, queue: &str) -> anyhow::Result<u32> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let channel = self.connection.create_channel().await?;
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
        channel.close(200, "".into()).await?;
        Ok(declared.message_count())
    }

    /// Stops a consumer when it has done all that was published before; nothing may return to the queue then.
    ///
    /// # Errors
    /// When the consumer fails, or left something.
    pub async fn finished(&self, consumer: Consumer) -> anyhow::Result<()> {
        let last = self.customer().await?;
        self.publish(&order_created(Uuid::now_v7(), last)).await?;
        self.counted(last, 1).await?;
        consumer.stop().await?;
        let left = self.waiting(QUEUE).await?;
        ensure!(left == 0, "{left} messages were not acknowledged");
        Ok(())
    }

    /// Waits for a message in a queue and takes it.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn take(&self, queue: &str) -> anyhow::Result<Delivery> {
        until(async || {
            let options = BasicGetOptions { no_ack: true };
            let got = self.channel.basic_get(queue.into(), options).await?;
            Ok(got.map(|message| message.delivery))
        })
        .await
        .with_context(|| format!("a message in {queue}"))
    }
}

async fn open(broker: &Vhost) -> anyhow::Result<(Connection, Channel)> {
    let connection = Connection::connect(&broker.amqp_url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

/// The body of an `order.created` as the contract has it.
#[must_use]
pub fn order_created(event_id: Uuid, customer: Uuid) -> Value {
    json!({
        "event_id": event_id,
        "event": "order.created",
        "occurred_at": "2026-02-01T22:25:31.123456Z",
        "data": {"order_public_id": Uuid::new_v4(), "customer_public_id": customer},
    })
}

/// The bodies of so many events of one customer.
#[must_use]
pub fn orders_of(number: usize, customer: Uuid) -> Vec<Vec<u8>> {
    let body = |_| order_created(Uuid::now_v7(), customer).to_string().into_bytes();
    (0..number).map(body).collect()
}

/// Asks `probe` until it gives something.
///
/// # Errors
/// When the time is up, and when the probe fails.
pub async fn until<T>(probe: impl AsyncFn() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "it does not happen within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

//! The fixture of the consumer's suites: its database, its broker, a publisher that shares no code
//! with the relay, and queries about the queues.
//!
//! | file | what is in it |
//! |---|---|
//! | `publisher` | events as any service would publish them |
//! | `queues` | what waits in the consumer's queues |
//! | `until` | waiting for an answer |

mod publisher;
mod queues;
mod until;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection, ConnectionProperties};
use stack::{Database, Service, Vhost};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::consumer::Consumer;
use crate::pipeline::{PATIENCE, connect};

pub use publisher::{large_orders_of, order_created, orders_of};
pub use queues::{DEAD_LETTER_QUEUE, QUEUE, RETRY_QUEUE};
pub use until::{until, until_within};

/// A consumer's database and broker.
#[derive(Debug)]
pub struct ConsumerFixture {
    /// The customer database.
    pub database: Database,
    /// The virtual host.
    pub broker: Vhost,
    /// A session with that database.
    pub sql: Client,
    /// A channel in confirm mode.
    pub channel: Channel,
    connection: Connection,
}

impl ConsumerFixture {
    /// An empty customer database and an empty virtual host of the shared servers.
    ///
    /// # Errors
    /// When the servers do not start.
    pub async fn start() -> anyhow::Result<Self> {
        let servers = stack::shared().await?;
        Self::with(servers.database("customers").await?, servers.vhost("consumer").await?).await
    }

    /// The fixture for this database and virtual host.
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

    /// Reconnects to the broker after its restart.
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

    /// A channel on a separate connection, which the broker may close.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn another_channel(&self) -> anyhow::Result<(Connection, Channel)> {
        open(&self.broker).await
    }

    /// Adds a customer and returns the id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn customer(&self) -> anyhow::Result<Uuid> {
        let id = Uuid::new_v4();
        self.add_customer(id).await?;
        Ok(id)
    }

    /// Adds a customer with this id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn add_customer(&self, id: Uuid) -> anyhow::Result<()> {
        let insert = "INSERT INTO customers (id, name, address) VALUES ($1, 'Juan', 'Bogotá')";
        self.sql.execute(insert, &[&id]).await?;
        Ok(())
    }

    /// A ready consumer in this process. `settings` are flags and their values.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn consumer(&self, settings: &[&str]) -> anyhow::Result<Consumer> {
        let consumer = self.unready_consumer(settings).await?;
        consumer.ready().await?;
        Ok(consumer)
    }

    /// A consumer in this process that need not be ready yet.
    ///
    /// # Errors
    /// When its settings are wrong.
    pub async fn unready_consumer(&self, settings: &[&str]) -> anyhow::Result<Consumer> {
        Consumer::launch(&self.database.url, &self.broker.amqp_url, settings).await
    }

    /// A consumer as a separate process.
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

    /// A customer's count.
    ///
    /// # Errors
    /// When there is no such customer.
    pub async fn count(&self, customer: Uuid) -> anyhow::Result<i64> {
        let select = "SELECT orders_count FROM customers WHERE id = $1";
        Ok(self.sql.query_one(select, &[&customer]).await?.get(0))
    }

    /// Waits until a customer's count is `expected`. Fails at once if it is higher.
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

    /// Stops a consumer once it has handled everything published so far, and checks that nothing
    /// returns to the queue.
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
}

async fn open(broker: &Vhost) -> anyhow::Result<(Connection, Channel)> {
    let connection = Connection::connect(&broker.amqp_url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

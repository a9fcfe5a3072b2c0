//! A dead-letter queue with a publisher, and a database with the tables of the desk.

use anyhow::{Context as _, ensure};
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
    QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::Value;
use stack::{Database, Service, Vhost};
use tokio_postgres::Client;

use crate::command::Ended;
use crate::outbox::eventually;
use crate::pipeline::connect;
use crate::relay_command::outbox_relay;

/// The dead-letter queue.
pub const QUEUE: &str = "billing.dlq";

/// The SQL of the tables.
const SCHEMA: &str = include_str!("../../sql/dead-letters/schema.sql");

/// A dead-letter queue and the database that it is collected into.
#[derive(Debug)]
pub struct DeadLetterQueue {
    /// The database with the tables.
    pub database: Database,
    /// The virtual host with the queue.
    pub broker: Vhost,
    /// A session of the owner of the tables.
    pub sql: Client,
    /// A channel in confirm mode.
    pub channel: Channel,
    connection: Connection,
}

impl DeadLetterQueue {
    /// An empty quorum queue on the shared servers, and empty tables.
    ///
    /// # Errors
    /// When the servers do not start.
    pub async fn start() -> anyhow::Result<Self> {
        let servers = stack::shared().await?;
        Self::with(servers.database("desk").await?, servers.vhost("desk").await?).await
    }

    /// An empty quorum queue and empty tables, in this virtual host and database.
    ///
    /// # Errors
    /// When they do not answer.
    pub async fn with(database: Database, broker: Vhost) -> anyhow::Result<Self> {
        let sql = connect(&database.url).await?;
        sql.batch_execute(SCHEMA).await?;
        let (connection, channel) = open(&broker).await?;
        declare(&channel, QUEUE, &[("x-queue-type", "quorum")]).await?;
        Ok(Self { database, broker, sql, channel, connection })
    }

    /// Reconnects to the broker after its restart.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub async fn reconnect(&mut self) -> anyhow::Result<()> {
        eventually("the broker is back", async || {
            (self.connection, self.channel) = open(&self.broker).await?;
            Ok(true)
        })
        .await
    }

    /// Publishes a body to the dead-letter queue `times` times, and waits for the confirms.
    ///
    /// # Errors
    /// When the broker does not take one.
    pub async fn add(
        &self,
        times: usize,
        body: &[u8],
        properties: BasicProperties,
    ) -> anyhow::Result<()> {
        let mut confirms = Vec::with_capacity(times);
        for _ in 0..times {
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let properties = properties.clone().with_delivery_mode(2);
            let publish =
                self.channel.basic_publish("".into(), QUEUE.into(), options, body, properties);
            confirms.push(publish.await?);
        }
        for confirm in confirms {
            ensure!(confirm.await? == Confirmation::Ack(None), "a message was not taken");
        }
        Ok(())
    }

    /// Adds a message with these headers.
    ///
    /// # Errors
    /// When the broker does not take it.
    pub async fn add_with_headers(
        &self,
        body: &[u8],
        headers: &[(&str, AMQPValue)],
    ) -> anyhow::Result<()> {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        self.add(1, body, BasicProperties::default().with_headers(table)).await
    }

    /// The number of ready messages and of consumers of the dead-letter queue.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn depth(&self) -> anyhow::Result<(u32, u32)> {
        self.depth_of(QUEUE).await
    }

    /// The same of another queue.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn depth_of(&self, queue: &str) -> anyhow::Result<(u32, u32)> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let channel = self.connection.create_channel().await?;
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
        channel.close(200, "".into()).await?;
        Ok((declared.message_count(), declared.consumer_count()))
    }

    /// Makes the dead-letter queue anew, of this type.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn make_anew(&self, queue_type: &str) -> anyhow::Result<()> {
        self.channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await?;
        declare(&self.channel, QUEUE, &[("x-queue-type", queue_type)]).await
    }

    /// Removes all ready messages.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn purge(&self) -> anyhow::Result<()> {
        self.channel.queue_purge(QUEUE.into(), QueuePurgeOptions::default()).await?;
        Ok(())
    }

    /// Runs `dead-letters collect` with further arguments, as the owner of the tables.
    ///
    /// # Errors
    /// When it can't be started or does not end in time.
    pub async fn collect(&self, arguments: &[&str]) -> anyhow::Result<Ended> {
        let all = [&["dead-letters", "collect", "--queue", QUEUE], arguments].concat();
        outbox_relay(&all, &self.settings()).await
    }

    /// Collects what is there, and checks that all went well.
    ///
    /// # Errors
    /// When something did not.
    pub async fn collect_all(&self) -> anyhow::Result<()> {
        let ended = self.collect(&[]).await?;
        ensure!(ended.code == Some(0), "{ended:?}");
        Ok(())
    }

    /// Starts `dead-letters collect --follow` as a process. `settings` are environment variables.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn follow(&self, settings: &[(&str, &str)]) -> anyhow::Result<Service> {
        self.spawn_collect(&["--follow"], settings).await
    }

    /// Starts `dead-letters collect` with further arguments as a process.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn spawn_collect(
        &self,
        arguments: &[&str],
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Service> {
        let common = self.settings().into_iter().chain([("OPS_ADDR", "127.0.0.1:0")]);
        let settings = common.chain(settings.iter().copied());
        let arguments = [&["dead-letters", "collect", "--queue", QUEUE], arguments].concat();
        Service::spawn(stack::binary("outbox-relay").await?, arguments, settings).await
    }

    fn settings(&self) -> [(&str, &str); 2] {
        [
            ("DEAD_LETTERS_DATABASE_URL", self.database.url.as_str()),
            ("RABBITMQ_URL", self.broker.amqp_url.as_str()),
        ]
    }

    /// The number of rows.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn rows(&self) -> anyhow::Result<i64> {
        Ok(self.sql.query_one("SELECT count(*) FROM dead_letters", &[]).await?.get(0))
    }

    /// All rows in order, as JSON objects.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn letters(&self) -> anyhow::Result<Vec<Value>> {
        let select = "SELECT to_jsonb(row) FROM dead_letters AS row ORDER BY id";
        Ok(self.sql.query(select, &[]).await?.iter().map(|row| row.get(0)).collect())
    }

    /// Waits until there are `expected` rows. More are an error.
    ///
    /// # Errors
    /// When there are fewer when the time is up, or more.
    pub async fn collected(&self, expected: i64) -> anyhow::Result<()> {
        let mut rows = 0;
        eventually("all is collected", async || {
            rows = self.rows().await?;
            Ok(rows >= expected)
        })
        .await
        .with_context(|| format!("{rows} of {expected} rows"))?;
        ensure!(rows == expected, "{rows} rows instead of {expected}");
        Ok(())
    }
}

/// Declares a durable queue with these arguments.
///
/// # Errors
/// When the broker refuses.
pub async fn declare(
    channel: &Channel,
    queue: &str,
    arguments: &[(&str, &str)],
) -> anyhow::Result<()> {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert((*name).into(), AMQPValue::LongString((*value).into()));
    }
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), options, table).await?;
    Ok(())
}

async fn open(broker: &Vhost) -> anyhow::Result<(Connection, Channel)> {
    let connection = Connection::connect(&broker.amqp_url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

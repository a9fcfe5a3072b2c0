//! An outbox and a broker without any service: what the suites of the relay work on.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicGetOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use outbox_relay::{Cli, Outcome, Relay};
use service_kit::config::try_parse_from;
use service_kit::health::Health;
use stack::{Database, Service, Vhost};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::relay_role::relay_url;

/// The exchange that the relay publishes to by default.
pub const EXCHANGE: &str = "orders.events";

/// How long anything may take before it counts as hanging; debug builds on a busy machine are slow.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A database that holds nothing but the outbox, a virtual host, and connections to both.
#[derive(Debug)]
pub struct Outbox {
    /// The database.
    pub database: Database,
    /// `postgres://…` for relays, which may do no more than they need.
    pub relay_url: String,
    /// The virtual host.
    pub vhost: Vhost,
    /// A session with the database, as its owner.
    pub sql: Client,
    broker: Connection,
    /// A channel in the virtual host.
    pub channel: Channel,
}

impl Outbox {
    /// A fresh outbox on the servers of the test run.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn new() -> anyhow::Result<Self> {
        let servers = stack::shared().await?;
        let (database, vhost) =
            tokio::try_join!(servers.database("outbox"), servers.vhost("outbox"))?;
        Self::on(database, vhost).await
    }

    /// A fresh outbox in `database`.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn on(database: Database, vhost: Vhost) -> anyhow::Result<Self> {
        let sql = connect(&database.url).await?;
        sql.batch_execute(include_str!("../../sql/outbox/schema.sql")).await?;
        let relay_url = relay_url(&database, &sql).await?;
        let (broker, channel) = connect_broker(&vhost.amqp_url).await?;
        Ok(Self { database, relay_url, vhost, sql, broker, channel })
    }

    /// Connects again, after a server was down.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn reconnect(&mut self) -> anyhow::Result<()> {
        self.sql = connect(&self.database.url).await?;
        (self.broker, self.channel) = connect_broker(&self.vhost.amqp_url).await?;
        Ok(())
    }

    /// Makes the exchange and a queue bound to it with `key`.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn queue(&self, name: &str, key: &str) -> anyhow::Result<()> {
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        self.channel
            .exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, durable, FieldTable::default())
            .await?;
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        self.channel.queue_declare(name.into(), durable, quorum).await?;
        self.bind(name, key).await
    }

    /// Binds a queue to the exchange.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn bind(&self, queue: &str, key: &str) -> anyhow::Result<()> {
        self.channel
            .queue_bind(
                queue.into(),
                EXCHANGE.into(),
                ShortString::try_new(key)?,
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
        Ok(())
    }

    /// Adds an event as any service would, with plain SQL; returns its id.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn add(&self, aggregate_id: &str, event_type: &str) -> anyhow::Result<i64> {
        let row = self
            .sql
            .query_one(
                "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                 VALUES ('order', $1, $2, '{}') RETURNING id",
                &[&aggregate_id, &event_type],
            )
            .await?;
        Ok(row.get(0))
    }

    /// One number from the database.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn count(&self, query: &str, params: &[&(dyn ToSql + Sync)]) -> anyhow::Result<i64> {
        Ok(self.sql.query_one(query, params).await?.try_get(0)?)
    }

    /// Events that are not marked as published.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn pending(&self) -> anyhow::Result<i64> {
        self.count("SELECT count(*) FROM outbox WHERE published_at IS NULL", &[]).await
    }

    /// Waits until every event is marked as published.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn all_published(&self) -> anyhow::Result<()> {
        eventually("every event is published", async || Ok(self.pending().await? == 0)).await
    }

    /// The id, by its `event_id`, of every event in the table.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn event_ids(&self) -> anyhow::Result<HashSet<Uuid>> {
        let rows = self.sql.query("SELECT event_id FROM outbox", &[]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Takes all messages out of a queue.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn take_all(&self, queue: &str) -> anyhow::Result<Vec<BasicGetMessage>> {
        let no_ack = BasicGetOptions { no_ack: true };
        let mut messages = Vec::new();
        while let Some(message) = self.channel.basic_get(queue.into(), no_ack).await? {
            messages.push(message);
        }
        Ok(messages)
    }

    /// How many messages a queue holds.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn depth(&self, queue: &str) -> anyhow::Result<u32> {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let queue = self.channel.queue_declare(queue.into(), passive, FieldTable::default());
        Ok(queue.await?.message_count())
    }

    /// A relay in this process, to be stepped. `settings` are flags.
    ///
    /// # Errors
    /// When the settings are refused.
    pub fn relay(&self, settings: &[&str]) -> anyhow::Result<Stepped> {
        let urls = ["--database-url", &self.relay_url, "--rabbitmq-url", &self.vhost.amqp_url];
        let cli = try_parse_from::<Cli>([&["outbox-relay"], &urls[..], settings].concat());
        let Ok(Ok(config)) = cli.map(Cli::into_config) else {
            bail!("the settings {settings:?} are refused");
        };
        service_kit::telemetry::install_tls();
        let stop = CancellationToken::new();
        let health = Health::default();
        Ok(Stepped { relay: Relay::new(config, &health, stop.clone()), stop, health })
    }

    /// A relay as a real process. `settings` are environment variables.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn relay_process(&self, settings: &[(&str, &str)]) -> anyhow::Result<Service> {
        let own = [
            ("DATABASE_URL", self.relay_url.as_str()),
            ("RABBITMQ_URL", self.vhost.amqp_url.as_str()),
            ("OPS_ADDR", "127.0.0.1:0"),
        ];
        let environment = own.into_iter().chain(settings.iter().copied());
        Service::spawn(stack::binary("outbox-relay").await?, ["run"], environment).await
    }
}

/// A relay that does one step at a time.
#[derive(Debug)]
pub struct Stepped {
    /// The relay.
    pub relay: Relay,
    /// Cancelled to tell it to stop.
    pub stop: CancellationToken,
    /// What it reports.
    pub health: Health,
}

impl Stepped {
    /// Steps until the relay answers with `outcome`.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn until(&mut self, outcome: Outcome) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            // On the heap: the future of a step holds a whole batch.
            let now = Box::pin(self.relay.run_once()).await;
            if now == outcome {
                return Ok(());
            }
            ensure!(
                Instant::now() < end,
                "the relay is {now:?}, not {outcome:?}: {:?}",
                self.health.statuses()
            );
            if now != Outcome::Worked {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Steps without end, as a running relay does.
    pub async fn on_and_on(&mut self) {
        loop {
            if Box::pin(self.relay.run_once()).await != Outcome::Worked {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    /// Publishes all that is due.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_idle(&mut self) -> anyhow::Result<()> {
        self.until(Outcome::Idle).await
    }
}

/// A session with `url`.
///
/// # Errors
/// When the server does not answer.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // It ends with the client; what goes wrong is seen by the client's next call.
    tokio::spawn(connection);
    Ok(client)
}

async fn connect_broker(url: &str) -> anyhow::Result<(Connection, Channel)> {
    service_kit::telemetry::install_tls();
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

/// Waits until `condition` holds; errors of its own count as "not yet".
///
/// # Errors
/// When it does not hold in time.
pub async fn eventually(
    what: &str,
    mut condition: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let last = condition().await;
        if matches!(last, Ok(true)) {
            return Ok(());
        }
        if Instant::now() >= end {
            last.with_context(|| format!("waiting until {what}"))?;
            bail!("it never came true that {what}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The `message_id` of a message, which is an `event_id`.
///
/// # Errors
/// When it has none or it is no UUID.
pub fn event_id(message: &BasicGetMessage) -> anyhow::Result<Uuid> {
    let id = message.delivery.properties.message_id();
    Ok(id.as_ref().context("a message without an id")?.as_str().parse()?)
}

/// The header `aggregate-id` of a message.
///
/// # Errors
/// When it has none.
pub fn aggregate_id(message: &BasicGetMessage) -> anyhow::Result<String> {
    let headers = message.delivery.properties.headers().as_ref().context("no headers")?;
    match headers.inner().get("aggregate-id") {
        Some(AMQPValue::LongString(id)) => Ok(id.to_string()),
        other => bail!("aggregate-id is {other:?}"),
    }
}

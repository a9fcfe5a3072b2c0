//! The fixture of the relay's suites: an outbox and a broker without any service.
//!
//! | file | what is in it |
//! |---|---|
//! | `blocked` | a table that can be read and not changed |
//! | `queues` | exchange, queues and messages of its virtual host |
//! | `stepped` | a relay that does one step at a time |
//! | `eventually` | waiting for a condition |

mod blocked;
mod eventually;
mod queues;
mod stepped;

use std::collections::HashSet;
use std::time::Duration;

use anyhow::bail;
use lapin::{Channel, Connection};
use outbox_relay::{Cli, Relay};
use service_kit::config::try_parse_from;
use service_kit::health::Health;
use stack::{Database, Service, Vhost};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::relay_role::ROLES;

pub use eventually::eventually;
pub use queues::{aggregate_id, event_id};
pub use stepped::Stepped;

/// The exchange that the relay publishes to by default.
pub const EXCHANGE: &str = "orders.events";

/// How long anything may take before it counts as hanging; debug builds on a busy machine are slow.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A database with just the outbox, a virtual host, and connections to both.
#[derive(Debug)]
pub struct Outbox {
    /// The database.
    pub database: Database,
    /// `postgres://…` for relays, as their least-privilege role.
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
        let schema = include_str!("../../sql/outbox/schema.sql");
        Self::with_schema(database, vhost, schema, ROLES).await
    }

    /// A fresh outbox in `database`, created by these statements.
    ///
    /// # Errors
    /// When a server does not answer, or refuses the statements.
    pub async fn with_schema(
        database: Database,
        vhost: Vhost,
        schema: &str,
        roles: &str,
    ) -> anyhow::Result<Self> {
        let sql = connect(&database.url).await?;
        sql.batch_execute(schema).await?;
        sql.batch_execute(roles).await?;
        let relay_url = database.url_as("outbox_relay").await?;
        let (broker, channel) = queues::connect(&vhost.amqp_url).await?;
        Ok(Self { database, relay_url, vhost, sql, broker, channel })
    }

    /// Reconnects after a server was down.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn reconnect(&mut self) -> anyhow::Result<()> {
        self.sql = connect(&self.database.url).await?;
        (self.broker, self.channel) = queues::connect(&self.vhost.amqp_url).await?;
        Ok(())
    }

    /// Adds an event with plain SQL and returns its id.
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

    /// The number that a query returns.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn count(&self, query: &str, params: &[&(dyn ToSql + Sync)]) -> anyhow::Result<i64> {
        Ok(self.sql.query_one(query, params).await?.try_get(0)?)
    }

    /// The number of pending events.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn pending(&self) -> anyhow::Result<i64> {
        self.count("SELECT count(*) FROM outbox WHERE published_at IS NULL", &[]).await
    }

    /// Waits until every event is published.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn all_published(&self) -> anyhow::Result<()> {
        eventually("every event is published", async || Ok(self.pending().await? == 0)).await
    }

    /// The `event_id` of every event in the table.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn event_ids(&self) -> anyhow::Result<HashSet<Uuid>> {
        let rows = self.sql.query("SELECT event_id FROM outbox", &[]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// A relay in this process that the test steps. `settings` are flags.
    ///
    /// # Errors
    /// When the settings are refused.
    pub fn relay(&self, settings: &[&str]) -> anyhow::Result<Stepped> {
        let urls = ["--database-url", &self.relay_url, "--rabbitmq-url", &self.vhost.amqp_url];
        let cli = try_parse_from::<Cli>([&["outbox-relay", "run"], &urls[..], settings].concat());
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

/// A session with `url`.
///
/// # Errors
/// When the server does not answer.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Ends when the client is dropped; an error shows up in the client's next call.
    tokio::spawn(connection);
    Ok(client)
}

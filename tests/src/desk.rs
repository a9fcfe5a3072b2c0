//! The desk as people see it: rows of dead letters, roles, and the commands.

use std::collections::BTreeMap;

use amq_protocol::protocol::basic::AMQPProperties;
use anyhow::Context as _;
use lapin::message::BasicGetMessage;
use lapin::options::BasicGetOptions;
use serde_json::Value;
use stack::{Database, Vhost};
use tokio_postgres::types::ToSql;

use crate::command::Ended;
use crate::dead_letter_queue::{DeadLetterQueue, QUEUE, declare};
use crate::person::person;
use crate::relay_command::outbox_relay;

/// The queue that dead letters go back to.
pub const HOME: &str = "billing";

/// The SQL of the roles.
const ROLES: &str = include_str!("../../sql/dead-letters/roles.sql");

/// The columns that rows added by a test share.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// How they died.
    pub kind: &'a str,
    /// The fingerprint of their cause.
    pub fingerprint: &'a str,
    /// The type of the messages.
    pub event_type: &'a str,
    /// Their reason, in which `%s` stands for the number of the row.
    pub reason: &'a str,
    /// The queue that they go back to.
    pub return_to: &'a str,
}

impl Default for Rows<'_> {
    fn default() -> Self {
        Self {
            kind: "failed",
            fingerprint: "00000000000000aa",
            event_type: "order.created",
            reason: "customer %s is unknown",
            return_to: HOME,
        }
    }
}

impl DeadLetterQueue {
    /// Tables with their roles, and a queue that dead letters go back to.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn desk() -> anyhow::Result<Self> {
        let servers = stack::shared().await?;
        Self::desk_on(servers.database("desk").await?, servers.vhost("desk").await?).await
    }

    /// The same in this database and virtual host.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn desk_on(database: Database, broker: Vhost) -> anyhow::Result<Self> {
        let desk = Self::with(database, broker).await?;
        desk.sql.batch_execute(ROLES).await?;
        declare(&desk.channel, HOME, &[("x-queue-type", "quorum")]).await?;
        Ok(desk)
    }

    /// Adds rows with plain SQL. Their bodies are `{"n": 1}` and so on, their message ids `m1`.
    /// Returns the ids.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn add_rows(&self, count: i64, rows: Rows<'_>) -> anyhow::Result<Vec<i64>> {
        let insert = "INSERT INTO dead_letters (queue, return_to, identity, message_id, event_type, body, content_header, properties, headers,
                                                error_kind, reason, fingerprint)
                      SELECT $1, $2, '', 'm' || i, $3, convert_to(format('{\"n\": %s}', i), 'UTF8'), $4, '{}', '{}', $5, format($6, i), $7
                      FROM generate_series(1, $8::bigint) AS i
                      RETURNING id";
        let content_header = amqp::content_header(0, &AMQPProperties::default());
        let Rows { kind, fingerprint, event_type, reason, return_to } = rows;
        let params: [&(dyn ToSql + Sync); 8] = [
            &QUEUE,
            &return_to,
            &event_type,
            &content_header,
            &kind,
            &reason,
            &fingerprint,
            &count,
        ];
        let rows = self.sql.query(insert, &params).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Runs `dead-letters` with further arguments, as the owner of the tables.
    ///
    /// # Errors
    /// When it can't be started or does not end in time.
    pub async fn command(&self, arguments: &[&str]) -> anyhow::Result<Ended> {
        self.command_as(&self.database.url, "alice", arguments).await
    }

    /// Runs `dead-letters` with further arguments, as the login in `url`, for `actor`.
    ///
    /// # Errors
    /// When it can't be started or does not end in time.
    pub async fn command_as(
        &self,
        url: &str,
        actor: &str,
        arguments: &[&str],
    ) -> anyhow::Result<Ended> {
        let settings = [
            ("DEAD_LETTERS_DATABASE_URL", url),
            ("RABBITMQ_URL", self.broker.amqp_url.as_str()),
            ("OUTBOX_ACTOR", actor),
        ];
        outbox_relay(&[&["dead-letters"], arguments].concat(), &settings).await
    }

    /// The URL of a login that is granted `role`, one of the group roles.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn person(&self, role: &str) -> anyhow::Result<String> {
        person(&self.sql, &self.database, role).await
    }

    /// The audit table as JSON objects, in order.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn audit(&self) -> anyhow::Result<Vec<Value>> {
        let select = "SELECT to_jsonb(a) FROM dead_letters_audit AS a ORDER BY id";
        Ok(self.sql.query(select, &[]).await?.iter().map(|row| row.get(0)).collect())
    }

    /// The number that a query returns.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn count(&self, query: &str) -> anyhow::Result<i64> {
        Ok(self.sql.query_one(query, &[]).await?.try_get(0)?)
    }

    /// How many rows are in a state.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn in_state(&self, state: &str) -> anyhow::Result<i64> {
        self.count(&format!("SELECT count(*) FROM dead_letters WHERE state = '{state}'")).await
    }

    /// Removes and returns all messages of a queue.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn take_all(&self, queue: &str) -> anyhow::Result<Vec<BasicGetMessage>> {
        let mut messages = Vec::new();
        let no_ack = BasicGetOptions { no_ack: true };
        while let Some(message) = self.channel.basic_get(queue.into(), no_ack).await? {
            messages.push(message);
        }
        Ok(messages)
    }

    /// How often each row was delivered to a queue, which is empty then.
    ///
    /// # Errors
    /// When the broker refuses, or a message was not returned.
    pub async fn deliveries(&self, queue: &str) -> anyhow::Result<BTreeMap<i64, usize>> {
        let mut times = BTreeMap::new();
        for message in self.take_all(queue).await? {
            *times.entry(row_id(&message)?).or_default() += 1;
        }
        Ok(times)
    }
}

/// The id in a returned message's header `x-returned-from`.
///
/// # Errors
/// When it has none.
pub fn row_id(message: &BasicGetMessage) -> anyhow::Result<i64> {
    let headers = message.delivery.properties.headers().as_ref().context("headers")?;
    let header = headers.inner().get("x-returned-from").context("the header")?;
    let text = header.as_long_string().context("a text")?.to_string();
    let (queue, id) = text.rsplit_once('/').context("a queue and an id")?;
    anyhow::ensure!(queue == QUEUE, "{text}");
    Ok(id.parse()?)
}

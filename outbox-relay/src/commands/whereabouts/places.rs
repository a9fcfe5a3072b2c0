//! The places besides the outbox where an event may be: inboxes, the table of dead letters, and the
//! consumers' queues.

use std::collections::BTreeMap;
use std::time::Duration;

use amqp::{BrokerUrl, Channel, Connection, Failure};
use anyhow::{Context as _, anyhow};
use clap::Args;
use serde::{Deserialize, Serialize};
use service_kit::config::read_file;
use service_kit::postgres::DatabaseUrl;
use tokio::time::timeout;
use uuid::Uuid;

use super::inboxes::{Inbox, read_inboxes};
use super::reader::Reader;
use crate::broker::FRAME_MAX;
use crate::commands::args::single_line;
use crate::commands::session::decode::json;

/// How long the broker may take to answer.
const BROKER_LIMIT: Duration = Duration::from_secs(10);

/// The reply code of a queue that does not exist (AMQP 0-9-1, 1.2.1).
const NOT_FOUND: u16 = 404;

/// How many dead letters of one message are read, the latest of each queue.
const LETTER_LIMIT: i64 = 20;

/// Arguments that name the places besides the outbox where an event may be.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Consumers")]
pub(in crate::commands) struct PlacesArgs {
    /// A file that names the consumers' inbox tables: docs/desk.md has an example
    #[arg(long, env = "OUTBOX_INBOXES", value_name = "FILE", value_parser = read_inboxes)]
    inboxes: Option<Inboxes>,

    /// The database with the table dead_letters; without it, dead letters are not looked for
    #[arg(long, env = "DEAD_LETTERS_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    dead_letters_database_url: Option<DatabaseUrl>,

    /// A file that holds `DEAD_LETTERS_DATABASE_URL`
    #[arg(long, env = "DEAD_LETTERS_DATABASE_URL_FILE", value_name = "FILE", value_parser = read_file::<DatabaseUrl>, conflicts_with = "dead_letters_database_url")]
    dead_letters_database_url_file: Option<DatabaseUrl>,

    /// A role whose rights are taken to read the table dead_letters
    #[arg(long, env = "DEAD_LETTERS_ROLE", value_parser = single_line, value_name = "ROLE")]
    dead_letters_role: Option<String>,

    /// The broker: it tells whether messages wait in the consumers' queues and dead-letter queues
    #[arg(long, env = "RABBITMQ_URL", hide_env_values = true, value_name = "URL")]
    rabbitmq_url: Option<BrokerUrl>,

    /// A file that holds `RABBITMQ_URL`
    #[arg(long, env = "RABBITMQ_URL_FILE", value_name = "FILE", value_parser = read_file::<BrokerUrl>, conflicts_with = "rabbitmq_url")]
    rabbitmq_url_file: Option<BrokerUrl>,
}

/// The inboxes that one file names: an alias, so that clap takes them as one value.
pub(super) type Inboxes = Vec<Inbox>;

/// A dead letter of an event.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DeadLetter {
    pub(super) id: i64,
    /// The dead-letter queue that it was collected from.
    pub(super) queue: String,
    /// `open`, `returning`, `returned` or `discarded`.
    pub(super) state: String,
    pub(super) error_kind: String,
    pub(super) reason: Option<String>,
    pub(super) tries: Option<i32>,
    /// How often it had been returned before.
    pub(super) returns: i32,
    pub(super) collected_at: String,
    pub(super) settled_at: Option<String>,
    #[serde(default, skip_serializing)]
    pub(super) settled_age_seconds: Option<f64>,
    /// The person who returned or discarded it.
    pub(super) settled_by: Option<String>,
}

/// The number of ready messages by queue, or why it is unknown.
pub(super) type Depths = BTreeMap<String, Result<u32, String>>;

/// The state of a message's latest dead letter in one queue.
#[derive(Debug)]
pub(super) struct KnownLetter {
    pub(super) event_id: Uuid,
    pub(super) queue: String,
    /// Whether it is open or was discarded.
    pub(super) is_unreturned: bool,
    /// The seconds since it was returned, if it was.
    pub(super) returned_seconds: Option<f64>,
}

impl PlacesArgs {
    pub(super) fn inboxes(&self) -> &[Inbox] {
        self.inboxes.as_deref().unwrap_or_default()
    }

    /// Connects to the table of dead letters. Returns `None` if no database is configured.
    pub(super) async fn open_desk(&self, command: &str) -> anyhow::Result<Option<Desk>> {
        let url = self.dead_letters_database_url.as_ref();
        let Some(url) = url.or(self.dead_letters_database_url_file.as_ref()) else {
            return Ok(None);
        };
        let reader = Reader::open(url, command, self.dead_letters_role.clone());
        let reader = reader.await.context("dead letters can't be read")?;
        Ok(Some(Desk(reader)))
    }

    /// Counts the ready messages in the queues and dead-letter queues of the inboxes. Call it
    /// before reading the tables: a message that is applied or collected in between is then found
    /// there.
    pub(super) async fn count_messages(&self) -> Depths {
        let inboxes = self.inboxes().iter();
        let queues = inboxes.flat_map(|inbox| [&inbox.queue, &inbox.dead_letter_queue]).flatten();
        let Some(url) = self.rabbitmq_url.as_ref().or(self.rabbitmq_url_file.as_ref()) else {
            let unknown = || Err("RABBITMQ_URL is not set".to_owned());
            return queues.map(|queue| (queue.clone(), unknown())).collect();
        };
        let mut depths = Depths::new();
        for queue in queues {
            let counted = timeout(BROKER_LIMIT, depth(url, queue)).await;
            let counted = counted
                .unwrap_or_else(|_| Err(anyhow!("the broker does not answer")))
                .map_err(|error| format!("{error:#}"));
            depths.insert(queue.clone(), counted);
        }
        depths
    }
}

/// Returns how many messages are ready in a queue.
async fn depth(url: &BrokerUrl, queue: &str) -> anyhow::Result<u32> {
    let connection = Connection::open(url, "outbox command where", FRAME_MAX).await?;
    let channel = Channel::open(&connection).await.map_err(|failure| failed(&failure))?;
    let depth = match channel.depth(queue).await {
        Ok(depth) => Ok(depth.messages),
        Err(Failure::Refused(refusal)) if refusal.code == NOT_FOUND => {
            Err(anyhow!("there is no such queue"))
        }
        Err(failure) => Err(failed(&failure)),
    };
    connection.close().await;
    depth
}

fn failed(failure: &Failure) -> anyhow::Error {
    anyhow!("{failure}")
}

/// The table of dead letters.
#[derive(Debug)]
pub(super) struct Desk(Reader);

impl Desk {
    /// Returns the latest dead letter of an event in each queue.
    pub(super) async fn find(&self, event_id: Uuid) -> anyhow::Result<Vec<DeadLetter>> {
        let sql = include_str!("../../../../sql/dead-letters/commands/find_by_message.sql");
        let rows = self.0.query(sql, &[&event_id.to_string(), &LETTER_LIMIT]).await;
        let rows = rows.context("dead letters can't be read")?;
        rows.iter().map(json).collect()
    }

    /// Returns the latest dead letter of each of some events in each queue.
    pub(super) async fn known(&self, event_ids: &[Uuid]) -> anyhow::Result<Vec<KnownLetter>> {
        let sql = include_str!("../../../../sql/dead-letters/commands/find_known.sql");
        let texts: Vec<String> = event_ids.iter().map(Uuid::to_string).collect();
        let rows = self.0.query(sql, &[&texts]).await.context("dead letters can't be read")?;
        let mut known = Vec::new();
        for row in rows {
            let message_id: String = row.try_get(0)?;
            known.push(KnownLetter {
                event_id: message_id.parse()?,
                queue: row.try_get(1)?,
                is_unreturned: row.try_get(2)?,
                returned_seconds: row.try_get(3)?,
            });
        }
        Ok(known)
    }
}

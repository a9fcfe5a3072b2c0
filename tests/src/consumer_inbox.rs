//! A consumer's inbox beside the outbox, and the file that names it.

use serde_json::Value;
use uuid::Uuid;

use crate::command::Ended;
use crate::outbox::Outbox;
use crate::relay_command::outbox_relay;
use crate::temp_folder::TempFolder;

/// The consumer's dead-letter queue.
pub const DEAD_LETTER_QUEUE: &str = "billing.dlq";

/// An outbox with the inbox of one consumer, `billing`, and the tables of the desk, all in one
/// database.
#[derive(Debug)]
pub struct ConsumerInbox {
    /// The outbox.
    pub outbox: Outbox,
    folder: TempFolder,
}

impl ConsumerInbox {
    /// A fresh inbox, whose key is of this type, for `order.*` events.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn new(key_type: &str, longest_retry: &str) -> anyhow::Result<Self> {
        let outbox = Outbox::new().await?;
        let inbox = format!("CREATE TABLE billing_inbox (event_id {key_type} PRIMARY KEY)");
        outbox.sql.batch_execute(&inbox).await?;
        outbox.sql.batch_execute(include_str!("../../sql/dead-letters/schema.sql")).await?;
        outbox.queue(DEAD_LETTER_QUEUE, "dead").await?;
        let folder = TempFolder::new()?;
        folder.write("billing_url", &outbox.database.url)?;
        folder.write(
            "inboxes.toml",
            &format!(
                "[[inbox]]\nname = \"billing\"\nurl_file = \"billing_url\"\ntable = \"billing_inbox\"\nkey = \"event_id\"\n\
                 types = [\"order.*\"]\ndead_letter_queue = \"{DEAD_LETTER_QUEUE}\"\nlongest_retry = \"{longest_retry}\"\n"
            ),
        )?;
        Ok(Self { outbox, folder })
    }

    /// The path of the file that names the inbox.
    #[must_use]
    pub fn inboxes(&self) -> String {
        self.folder.path("inboxes.toml")
    }

    /// Rewrites the file so that it names an unreachable database.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn lose(&self) -> anyhow::Result<()> {
        self.folder.write("billing_url", "postgres://billing@127.0.0.1:1/billing")?;
        Ok(())
    }

    /// Adds another consumer of the same events to the file, which notes what it has applied in the
    /// table `shipping_inbox`.
    ///
    /// # Errors
    /// When it can't be written.
    pub async fn add_shipping(&self) -> anyhow::Result<()> {
        let inbox = "CREATE TABLE shipping_inbox (event_id uuid PRIMARY KEY)";
        self.outbox.sql.batch_execute(inbox).await?;
        let file = std::fs::read_to_string(self.folder.path("inboxes.toml"))?;
        let shipping = file
            .replace("\"billing\"", "\"shipping\"")
            .replace("billing_inbox", "shipping_inbox")
            .replace(&format!("dead_letter_queue = \"{DEAD_LETTER_QUEUE}\"\n"), "");
        self.folder.write("inboxes.toml", &(file + &shipping))?;
        Ok(())
    }

    /// Runs a command with the inboxes, the desk and the broker configured.
    ///
    /// # Errors
    /// When it can't be started or does not end in time.
    pub async fn command(&self, arguments: &[&str]) -> anyhow::Result<Ended> {
        let settings = [
            ("DATABASE_URL", self.outbox.relay_url.as_str()),
            ("DEAD_LETTERS_DATABASE_URL", self.outbox.database.url.as_str()),
            ("RABBITMQ_URL", self.outbox.vhost.amqp_url.as_str()),
            ("OUTBOX_INBOXES", &self.folder.path("inboxes.toml")),
        ];
        outbox_relay(arguments, &settings).await
    }

    /// Runs `where` for an event. Returns the exit status and the event of the JSON answer.
    ///
    /// # Errors
    /// When the command fails.
    pub async fn locate(&self, event_id: Uuid) -> anyhow::Result<(Option<i32>, Value)> {
        let ended = self.command(&["where", &event_id.to_string(), "--json"]).await?;
        let code = ended.code;
        Ok((code, ended.json()?["events"][0].take()))
    }

    /// Adds an event with this assignment to its columns, and returns its event_id.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn add(&self, event_type: &str, assignment: &str) -> anyhow::Result<Uuid> {
        let id = self.outbox.add("7", event_type).await?;
        let update = format!("UPDATE outbox SET {assignment} WHERE id = $1 RETURNING event_id");
        Ok(self.outbox.sql.query_one(&update, &[&id]).await?.get(0))
    }

    /// Notes that the consumer has applied an event.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn apply(&self, event_id: Uuid) -> anyhow::Result<()> {
        let insert = format!("INSERT INTO billing_inbox VALUES ('{event_id}')");
        Ok(self.outbox.sql.batch_execute(&insert).await?)
    }

    /// Adds a dead letter of an event in this state.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn add_dead_letter(&self, event_id: Uuid, state: &str) -> anyhow::Result<i64> {
        let insert = "INSERT INTO dead_letters (queue, return_to, identity, message_id, event_type, body, content_header,
                                                properties, headers, error_kind, reason, fingerprint, tries, state, settled_at)
                      VALUES ($1, 'billing', '', $2, 'order.created', '', '', '{}', '{}', 'failed', 'no such customer', 'x', 3, $3,
                              CASE WHEN $3 IN ('returned', 'discarded') THEN now() END)
                      RETURNING id";
        let row = self
            .outbox
            .sql
            .query_one(insert, &[&DEAD_LETTER_QUEUE, &event_id.to_string(), &state])
            .await?;
        Ok(row.get(0))
    }
}

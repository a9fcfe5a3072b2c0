//! A consumer of `examples/` with its database, behind an outbox.

mod work;

use std::path::PathBuf;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use stack::{Database, Service};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::example::{Example, build_rust};
use crate::outbox::{Outbox, PATIENCE, connect, eventually};
use crate::relay_role::ROLES;

pub use work::{BALANCES, SHIPMENTS, TURNOVER, Work};

/// How to start a consumer.
#[derive(Debug)]
pub enum Program {
    /// A script of an example.
    Script(Example, &'static str),
    /// A program.
    Binary(PathBuf),
}

impl Program {
    /// The consumer in Python. `target_tmp` is the suite's `CARGO_TARGET_TMPDIR`.
    ///
    /// # Errors
    /// When what it needs can't be installed.
    pub fn python(target_tmp: &str) -> anyhow::Result<Self> {
        Ok(Self::Script(Example::python(target_tmp)?, "balances.py"))
    }

    /// The consumer in Node.js.
    ///
    /// # Errors
    /// When what it needs can't be installed.
    pub fn node(target_tmp: &str) -> anyhow::Result<Self> {
        Ok(Self::Script(Example::node(target_tmp)?, "turnover.js"))
    }

    /// The service in Rust.
    ///
    /// # Errors
    /// When it does not compile.
    pub fn rust(target_tmp: &str) -> anyhow::Result<Self> {
        Ok(Self::Binary(build_rust(target_tmp)?))
    }
}

/// A consumer and its servers. The events come from the table of another database.
#[derive(Debug)]
pub struct ExampleConsumer {
    /// The source of the events, and the virtual host.
    pub outbox: Outbox,
    /// A session with the consumer's database.
    pub sql: Client,
    /// What the consumer does.
    pub work: &'static Work,
    /// The consumer's database.
    pub database: Database,
    /// `postgres://…` for the consumer.
    database_url: String,
    program: Program,
}

impl ExampleConsumer {
    /// With an empty database of the shared server.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn new(program: Program, work: &'static Work) -> anyhow::Result<Self> {
        let database = stack::shared().await?.database(work.queue).await?;
        Self::on(database, program, work).await
    }

    /// With this empty database.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn on(
        database: Database,
        program: Program,
        work: &'static Work,
    ) -> anyhow::Result<Self> {
        let sql = connect(&database.url).await?;
        // Not every consumer writes events of its own.
        sql.batch_execute(include_str!("../../sql/outbox/schema.sql")).await?;
        let tables = stack::root().join("examples").join(work.tables);
        sql.batch_execute(&std::fs::read_to_string(tables)?).await?;
        sql.batch_execute(work.prepare).await?;
        sql.batch_execute(ROLES).await?;
        let grants = format!(
            "GRANT INSERT ON inbox TO outbox_writer; GRANT {} TO outbox_writer",
            work.grants
        );
        sql.batch_execute(&grants).await?;
        let database_url = database.url_as("outbox_writer").await?;
        Ok(Self { outbox: Outbox::new().await?, sql, work, database, database_url, program })
    }

    /// Reconnects to the consumer's database after it was down.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn reconnect(&mut self) -> anyhow::Result<()> {
        self.sql = connect(&self.database.url).await?;
        Ok(())
    }

    /// A process that consumes. `settings` are environment variables.
    ///
    /// # Errors
    /// When it can't be started, or does not begin to consume.
    pub async fn start(
        &self,
        rabbitmq_url: &str,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Service> {
        let mut environment = vec![
            ("DATABASE_URL", self.database_url.as_str()),
            ("RABBITMQ_URL", rabbitmq_url),
            ("LISTEN_ADDR", "127.0.0.1:0"),
        ];
        environment.extend(settings);
        let service = match &self.program {
            Program::Script(example, script) => example.start(script, &environment).await?,
            Program::Binary(program) => Service::spawn(program, [""; 0], environment).await?,
        };
        service.wait_for_line("consuming from", PATIENCE).await?;
        Ok(service)
    }

    /// The name of the retry queue.
    #[must_use]
    pub fn retry_queue(&self) -> String {
        format!("{}.retry", self.work.queue)
    }

    /// The name of the dead-letter queue.
    #[must_use]
    pub fn dead_letter_queue(&self) -> String {
        format!("{}.dlq", self.work.queue)
    }

    /// How many consumers the queue has.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn consumers(&self) -> anyhow::Result<u32> {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let (queue, none) = (self.work.queue.into(), FieldTable::default());
        let declared = self.outbox.channel.queue_declare(queue, passive, none).await?;
        Ok(declared.consumer_count())
    }

    /// How many events were applied.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn applied(&self) -> anyhow::Result<i64> {
        Ok(self.sql.query_one("SELECT count(*) FROM inbox", &[]).await?.get(0))
    }

    /// Whether this event was applied.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn has_applied(&self, event: Uuid) -> anyhow::Result<bool> {
        let found = "SELECT count(*) = 1 FROM inbox WHERE event_id = $1";
        Ok(self.sql.query_one(found, &[&event]).await?.get(0))
    }

    /// Waits until every event of the outbox was applied, and no message is left.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn all_applied(&self) -> anyhow::Result<()> {
        eventually("every event was applied and no message is left", async || {
            let events = self.outbox.count("SELECT count(*) FROM outbox", &[]).await?;
            let (retry, dead) = (self.retry_queue(), self.dead_letter_queue());
            let mut waiting = 0;
            for queue in [self.work.queue, &retry, &dead] {
                waiting += self.outbox.depth(queue).await?;
            }
            Ok(self.applied().await? == events && waiting == 0 && self.outbox.pending().await? == 0)
        })
        .await
    }

    /// How many rows are not as they are when each event was applied once.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn wrong_rows(&self) -> anyhow::Result<i64> {
        Ok(self.sql.query_one(self.work.wrong_rows, &[]).await?.get(0))
    }

    /// Adds an event that can't be applied before [`Work::enable`], and returns its id.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn add_early_event(&self) -> anyhow::Result<Uuid> {
        let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
                      VALUES ('early', 'early', $1, $2::text::jsonb, '{\"traceparent\": \"00-ab-cd-01\"}')
                      RETURNING event_id";
        let (event_type, data) = self.work.early_event;
        Ok(self.outbox.sql.query_one(insert, &[&event_type, &data]).await?.get(0))
    }
}

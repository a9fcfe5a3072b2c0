//! Writes events one by one, each in its own transaction, as a service does.

use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use super::events::PAYLOAD;
use super::outbox::Outbox;

/// A session that adds events.
#[derive(Debug)]
pub(crate) struct Inserts {
    sql: Client,
    add_event: Statement,
}

impl Inserts {
    pub(crate) async fn new(outbox: &Outbox) -> anyhow::Result<Self> {
        let sql = outbox.connect().await?;
        let add_event = sql.prepare(include_str!("../../sql/add_event.sql")).await?;
        Ok(Self { sql, add_event })
    }

    /// Adds and commits an event of a new aggregate.
    pub(crate) async fn add(&self, event_id: Uuid) -> anyhow::Result<()> {
        let aggregate = Uuid::new_v4().to_string();
        self.sql.execute(&self.add_event, &[&event_id, &aggregate, &PAYLOAD]).await?;
        Ok(())
    }

    /// The session.
    pub(crate) fn sql(&self) -> &Client {
        &self.sql
    }
}

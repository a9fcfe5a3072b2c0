//! The database that a command works on.

use std::time::Duration;

use clap::Args;
use service_kit::config::limit;
use service_kit::postgres::DatabaseArgs;

use super::session::{Purpose, Session};
use crate::config::OutboxArgs;

/// Where the outbox is, and how long to wait for it.
#[derive(Debug, Clone, Args)]
pub(super) struct Target {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    #[command(flatten)]
    pub(super) outbox: OutboxArgs,
    /// How long the database may take for a statement
    #[arg(
        long,
        value_parser = limit,
        default_value = "30s",
        value_name = "DURATION",
        help_heading = "Outbox"
    )]
    pub(super) timeout: Duration,
}

impl Target {
    /// Connects for the command `name`, to a database that shows every row of the outbox.
    pub(super) async fn open(&self, name: &str, purpose: Purpose) -> anyhow::Result<Session> {
        let session = self.connect(name, purpose).await?;
        session.sees_all_rows().await?;
        Ok(session)
    }

    /// Connects for the command `name`, whatever the database is like.
    pub(super) async fn connect(&self, name: &str, purpose: Purpose) -> anyhow::Result<Session> {
        let table = self.outbox.outbox_table.clone();
        Session::open(self.database.url(), table, self.timeout, name, purpose).await
    }
}

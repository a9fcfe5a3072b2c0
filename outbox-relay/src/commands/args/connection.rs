//! The database and the outbox that a command works on.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use service_kit::config::limit;
use service_kit::postgres::DatabaseArgs;

use super::single_line;
use crate::commands::queries;
use crate::commands::session::{Access, Limits, Session};
use crate::config::OutboxArgs;

/// Arguments that say where the outbox is, and how long a statement may take.
#[derive(Debug, Clone, Args)]
pub(in crate::commands) struct ConnectionArgs {
    #[command(flatten)]
    pub(in crate::commands) database: DatabaseArgs,
    #[command(flatten)]
    outbox: OutboxArgs,
    /// How long a statement may take
    #[arg(
        long,
        value_parser = limit,
        default_value = "30s",
        value_name = "DURATION",
        help_heading = "Outbox"
    )]
    timeout: Duration,
    /// A role whose rights each transaction takes, as with SET LOCAL ROLE; the login must be a
    /// member of it
    #[arg(long, env = "OUTBOX_ROLE", value_parser = single_line, value_name = "ROLE", help_heading = "PostgreSQL")]
    role: Option<String>,
}

impl ConnectionArgs {
    /// Connects for the command `name`. Fails if row-level security hides rows of the outbox.
    pub(in crate::commands) async fn open(
        &self,
        name: &str,
        access: Access,
    ) -> anyhow::Result<Session> {
        let mut session = self.connect(name, access).await?;
        require_all_rows(&session).await?;
        session.find_columns().await?;
        Ok(session)
    }

    /// Connects for the command `name` without looking at the outbox.
    pub(in crate::commands) async fn connect(
        &self,
        name: &str,
        access: Access,
    ) -> anyhow::Result<Session> {
        let table = self.outbox.outbox_table.clone();
        let limits = Limits { statement: self.timeout, role: self.role.clone() };
        Session::open(self.database.url(), table, limits, name, access).await
    }
}

/// Fails if row-level security hides rows from the role: what the command prints and does would be
/// wrong.
async fn require_all_rows(session: &Session) -> anyhow::Result<()> {
    let writes = session.access() == Access::Write;
    let hidden = queries::find_hidden_rows(session, writes).await?;
    match hidden.filter(|hidden| writes || hidden.restricts("SELECT")) {
        Some(hidden) => Err(anyhow!("{hidden}: {}", hidden.fix(&session.table().quoted("")))),
        None => Ok(()),
    }
}

//! `dead-letters schema`: prints the SQL that adds the tables of the desk to a database.

use clap::Args;

use crate::commands::outcome::Outcome;
use crate::commands::output;

/// The SQL of the tables, indexes and views.
const SCHEMA: &str = include_str!("../../../../sql/dead-letters/schema.sql");

/// The SQL of the roles of collectors and people.
const ROLES: &str = include_str!("../../../../sql/dead-letters/roles.sql");

/// Arguments of `dead-letters schema`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  outbox-relay dead-letters schema | psql \"$DEAD_LETTERS_DATABASE_URL\" -v ON_ERROR_STOP=1 --single-transaction"
)]
pub struct SchemaArgs {
    /// Print the SQL of the least-privilege roles instead, to be run once the tables exist
    #[arg(long)]
    roles: bool,
}

impl SchemaArgs {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        output::text(if self.roles { ROLES } else { SCHEMA })?;
        Ok(Outcome::Ok)
    }
}

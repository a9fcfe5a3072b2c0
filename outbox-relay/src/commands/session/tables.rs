//! The tables that a session works on: what differs between the outbox and the desk.

use tokio_postgres::Error;

use super::error::{self, Failed};
use super::parts::Columns;
use crate::database::OutboxTable;

/// The tables that a session works on.
pub(in crate::commands) trait Tables {
    /// What stands before a command's name in its `application_name`. It differs from the relays'
    /// and collectors', by which people count them.
    const NAME_PREFIX: &'static str;

    /// The statement that keeps other commands from adding audit rows, if that is needed.
    const LOCK_AUDIT: Option<&'static str>;

    /// The statement that returns who has a table or the audit table locked: pid,
    /// `application_name`, and the table.
    const FIND_LOCK_HOLDERS: &'static str;

    /// What stands in a sentence for the tables.
    const NAME: &'static str;

    /// The setting that names the role to take.
    const ROLE_SETTING: &'static str;

    /// Returns the statement `sql` with the names and parts in place that it leaves open.
    fn fill_in(&self, sql: &str) -> String;

    /// Explains why a statement failed.
    fn explain(&self, error: &Error, failed: Failed<'_>) -> anyhow::Error;
}

/// The outbox and the tables beside it.
#[derive(Debug)]
pub(in crate::commands) struct OutboxTables {
    pub(super) table: OutboxTable,
    pub(super) columns: Columns,
}

impl Tables for OutboxTables {
    const NAME_PREFIX: &'static str = "outbox command ";
    const LOCK_AUDIT: Option<&'static str> =
        Some(include_str!("../../../../sql/relay/commands/lock_audit.sql"));
    const FIND_LOCK_HOLDERS: &'static str =
        include_str!("../../../../sql/relay/commands/find_table_lock_holders.sql");
    const NAME: &'static str = "the outbox";
    const ROLE_SETTING: &'static str = "OUTBOX_ROLE";

    fn fill_in(&self, sql: &str) -> String {
        self.table.fill_in(&self.columns.fill_in(sql))
    }

    fn explain(&self, error: &Error, failed: Failed<'_>) -> anyhow::Error {
        error::explain(error, &self.table, failed)
    }
}

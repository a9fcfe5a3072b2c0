//! Detects read-only servers.

use std::fmt;

use tokio_postgres::{Client, Error, SimpleQueryMessage};

/// Why a server is read-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOnly {
    /// It is a standby.
    Standby,
    /// `default_transaction_read_only`, which hosting providers set when a disk is full.
    Setting,
}

impl ReadOnly {
    /// Returns the reason, by `pg_is_in_recovery()` and `transaction_read_only`.
    #[must_use]
    pub const fn from_server(is_standby: bool, is_read_only: bool) -> Option<Self> {
        match (is_standby, is_read_only) {
            (true, _) => Some(Self::Standby),
            (false, true) => Some(Self::Setting),
            (false, false) => None,
        }
    }
}

impl fmt::Display for ReadOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standby => "the server is a standby, which takes no writes",
            Self::Setting => "the database is read-only: default_transaction_read_only is on",
        })
    }
}

/// Queries the server for the reason. Uses the simple protocol, as poolers mix up prepared
/// statements.
pub(super) async fn read_only_reason(client: &Client) -> Result<Option<ReadOnly>, Error> {
    let sql = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean";
    let messages = client.simple_query(sql).await?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let is_true = |column| row.is_some_and(|row| row.get(column) == Some("t"));
    Ok(ReadOnly::from_server(is_true(0), is_true(1)))
}

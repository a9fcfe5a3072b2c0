//! Statements about one event and its contents.

use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::commands::session::Session;
use crate::commands::session::decode::{json, text};
use crate::database::queries::BlockingPolicy;

/// Returns an event, with its headers as `headers` says.
pub(in crate::commands) async fn find_event<T: DeserializeOwned>(
    session: &Session,
    event_id: Uuid,
    headers: Contents,
    holding: BlockingPolicy,
) -> anyhow::Result<Option<T>> {
    let sql = include_str!("../../../../sql/relay/commands/find_event.sql");
    let BlockingPolicy { ordered, stuck_holds } = holding;
    let params: [&(dyn ToSql + Sync); 4] = [&event_id, &ordered, &stuck_holds, &headers.longest()];
    session.query(sql, &params).await?.first().map(json).transpose()
}

/// What is read of the payload and the headers of an event.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands) enum Contents {
    /// All, as PostgreSQL prints it.
    All,
    /// All headers, and so many characters of the indented payload.
    Indented(i32),
    /// So many characters of the payload, and nothing of what takes more bytes on disk: what
    /// PostgreSQL reads takes several times its size in its memory.
    Short(i32),
}

impl Contents {
    /// None of it.
    pub(in crate::commands) const NONE: Self = Self::Short(0);

    const fn indented(self) -> Option<i32> {
        match self {
            Self::Indented(longest) => Some(longest),
            Self::All | Self::Short(_) => None,
        }
    }

    /// The most of contents that are read only if they are short.
    pub(in crate::commands) const fn longest(self) -> Option<i32> {
        match self {
            Self::Short(longest) => Some(longest),
            Self::All | Self::Indented(_) => None,
        }
    }
}

/// A payload as PostgreSQL prints it.
#[derive(Debug)]
pub(in crate::commands) struct Payload {
    pub(in crate::commands) text: String,
    /// Whether `text` is only the beginning, or nothing.
    pub(in crate::commands) cut: bool,
    /// The size of the whole payload; none if it was not read.
    pub(in crate::commands) bytes: Option<i64>,
    /// How much it takes on disk; of a discarded event, with all that is kept of it.
    pub(in crate::commands) stored_bytes: i64,
}

impl Payload {
    fn from_row(row: &Row) -> anyhow::Result<Self> {
        Ok(Self {
            text: text(row, "payload")?,
            cut: row.try_get("cut")?,
            bytes: row.try_get("bytes")?,
            stored_bytes: row.try_get("stored_bytes")?,
        })
    }
}

/// Returns the payload of an event.
pub(in crate::commands) async fn find_payload(
    session: &Session,
    event_id: Uuid,
    contents: Contents,
) -> anyhow::Result<Option<Payload>> {
    let sql = include_str!("../../../../sql/relay/commands/find_payload.sql");
    let params: [&(dyn ToSql + Sync); 3] = [&event_id, &contents.indented(), &contents.longest()];
    session.query(sql, &params).await?.first().map(Payload::from_row).transpose()
}

/// Returns the copy of a discarded event in the audit table, and its payload.
pub(in crate::commands) async fn find_discarded<T: DeserializeOwned>(
    session: &Session,
    event_id: Uuid,
    contents: Contents,
) -> anyhow::Result<Option<(T, Payload)>> {
    let sql = include_str!("../../../../sql/relay/commands/find_discarded.sql");
    let params: [&(dyn ToSql + Sync); 3] = [&event_id, &contents.indented(), &contents.longest()];
    let rows = session.query(sql, &params).await?;
    rows.first().map(|row| Ok((json(row)?, Payload::from_row(row)?))).transpose()
}

//! The session that settles.

use service_kit::postgres::{self, DatabaseUrl};
use tokio::time::timeout;

use super::error::{STATEMENT_LIMIT, explain};
use super::queries::{self, NamedStatement, OptionalParts, SettleStatements, UnsettledStatements};
use super::session::open;
use super::{DatabaseError, OutboxTable, Session};

/// The session that settles, shared with the task that does it.
#[derive(Debug)]
pub(crate) struct SettleSession {
    pub(crate) session: Session,
    pub(crate) statements: SettleStatements,
    /// Notes failures, with their causes where the outbox has columns for these.
    pub(crate) settle_failed: NamedStatement,
    /// Write into `outbox_unsettled`; `None` if that table is missing or may not be used.
    pub(crate) notes: Option<UnsettledStatements>,
    /// Whether the database can store every character.
    pub(crate) is_utf8: bool,
}

impl SettleSession {
    /// Opens a session in place of one that was lost, while the other one still holds the lanes.
    pub(crate) async fn reopen(
        url: &DatabaseUrl,
        table: &OutboxTable,
    ) -> Result<Self, DatabaseError> {
        let opened =
            timeout(STATEMENT_LIMIT, async { Self::prepare(open(url).await?, table).await });
        opened.await.unwrap_or(Err(DatabaseError::Silent))
    }

    pub(super) async fn prepare(
        session: postgres::Session,
        table: &OutboxTable,
    ) -> Result<Self, DatabaseError> {
        let session = Session::prepare(session).await?;
        let client = session.client();
        queries::prepare_settle_session(client).await?;
        let statements = SettleStatements::prepare(client, table).await.map_err(explain)?;
        let OptionalParts { has_unsettled, has_causes, is_utf8 } =
            queries::find_optional_parts(client, table).await?;
        let settle_failed =
            queries::prepare_settle_failed(client, table, has_causes).await.map_err(explain)?;
        let notes = if has_unsettled {
            Some(UnsettledStatements::prepare(client, table).await.map_err(explain)?)
        } else {
            None
        };
        Ok(Self { session, statements, settle_failed, notes, is_utf8 })
    }
}

//! The session that settles.

use service_kit::postgres::{self, DatabaseUrl};
use tokio::time::timeout;

use super::error::{STATEMENT_LIMIT, explain};
use super::queries::{self, SettleStatements, UnsettledStatements, UnsettledTable};
use super::session::open;
use super::{DatabaseError, OutboxTable, Session};

/// The session that settles, shared with the task that does it.
#[derive(Debug)]
pub(crate) struct SettleSession {
    pub(crate) session: Session,
    pub(crate) statements: SettleStatements,
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
        let UnsettledTable { is_usable, is_utf8 } =
            queries::find_unsettled_table(client, table).await?;
        let notes = if is_usable {
            Some(UnsettledStatements::prepare(client, table).await.map_err(explain)?)
        } else {
            None
        };
        Ok(Self { session, statements, notes, is_utf8 })
    }
}

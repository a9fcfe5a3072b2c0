//! The session that settles.

use service_kit::postgres::{self, DatabaseUrl};
use tokio::time::timeout;

use super::{DatabaseError, STATEMENT_LIMIT, Session, explain, open};
use crate::database::OutboxTable;
use crate::database::queries::{self, Notes, SettleStatements, TakeNotes};

/// The session that settles, shared with the task that does it.
#[derive(Debug)]
pub(crate) struct SettleSession {
    pub(crate) session: Session,
    pub(crate) statements: SettleStatements,
    /// `None`: there is no table for events that can't be settled.
    pub(crate) notes: Option<TakeNotes>,
    /// Whether the database can store every character.
    pub(crate) is_utf8: bool,
}

impl SettleSession {
    /// A session in place of one that was lost, while the lanes are still held by the other.
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
        let client = &session.session.client;
        queries::prepare_settle_session(client).await?;
        let statements = SettleStatements::prepare(client, table).await.map_err(explain)?;
        let Notes { are_kept, is_utf8 } = queries::find_notes(client, table).await?;
        let notes = if are_kept {
            Some(TakeNotes::prepare(client, table).await.map_err(explain)?)
        } else {
            None
        };
        Ok(Self { session, statements, notes, is_utf8 })
    }
}

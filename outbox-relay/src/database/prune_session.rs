//! The session that prunes.

use service_kit::postgres::DatabaseUrl;

use super::{DatabaseError, Session, explain};
use crate::database::OutboxTable;
use crate::database::queries::{self, ExpiredNotes, Notes, PruneStatements, TakeNotes};

/// The session that deletes what was published long ago.
#[derive(Debug)]
pub(crate) struct PruneSession {
    pub(crate) session: Session,
    pub(crate) statements: PruneStatements,
    /// `None`: there is no table for events that can't be deleted.
    pub(crate) notes: Option<(TakeNotes, ExpiredNotes)>,
    /// Whether the database can store every character.
    pub(crate) is_utf8: bool,
}

impl PruneSession {
    pub(crate) async fn connect(
        url: &DatabaseUrl,
        table: &OutboxTable,
    ) -> Result<Self, DatabaseError> {
        let session = Session::connect(url).await?;
        let client = session.client();
        let statements = PruneStatements::prepare(client, table).await.map_err(explain)?;
        let Notes { are_kept, is_utf8 } = queries::find_notes(client, table).await?;
        let notes = if are_kept {
            let take = TakeNotes::prepare(client, table).await.map_err(explain)?;
            Some((take, ExpiredNotes::prepare(client, table).await.map_err(explain)?))
        } else {
            None
        };
        Ok(Self { session, statements, notes, is_utf8 })
    }
}

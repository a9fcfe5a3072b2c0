//! The session that prunes.

use service_kit::postgres::DatabaseUrl;

use super::error::explain;
use super::queries::{
    self, ExpiredStatements, OptionalParts, PruneStatements, UnsettledStatements,
};
use super::{DatabaseError, OutboxTable, Session};

/// The session that deletes what was published long ago.
#[derive(Debug)]
pub(crate) struct PruneSession {
    pub(crate) session: Session,
    pub(crate) statements: PruneStatements,
    /// Write into `outbox_unsettled`; `None` if that table is missing or may not be used.
    pub(crate) notes: Option<(UnsettledStatements, ExpiredStatements)>,
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
        let OptionalParts { has_unsettled, is_utf8, .. } =
            queries::find_optional_parts(client, table).await?;
        let notes = if has_unsettled {
            let take = UnsettledStatements::prepare(client, table).await.map_err(explain)?;
            Some((take, ExpiredStatements::prepare(client, table).await.map_err(explain)?))
        } else {
            None
        };
        Ok(Self { session, statements, notes, is_utf8 })
    }
}

//! The session that prunes the audit table.

use service_kit::postgres::DatabaseUrl;

use super::error::explain;
use super::queries::AuditPruneStatements;
use super::{DatabaseError, OutboxTable, Session};

/// The session that deletes what people did long ago.
#[derive(Debug)]
pub(crate) struct AuditPruneSession {
    pub(crate) session: Session,
    pub(crate) statements: AuditPruneStatements,
}

impl AuditPruneSession {
    pub(crate) async fn connect(
        url: &DatabaseUrl,
        table: &OutboxTable,
    ) -> Result<Self, DatabaseError> {
        let session = Session::connect(url).await?;
        let statements =
            AuditPruneStatements::prepare(session.client(), table).await.map_err(explain)?;
        Ok(Self { session, statements })
    }
}

//! Deleting audit rows that are old.

use std::time::Duration;

use crate::database::{AuditPruneSession, DatabaseError};

/// Takes the lock of the one session that prunes the audit table. Returns false if another session
/// holds it.
pub(crate) async fn lock_audit_pruning(
    AuditPruneSession { session, statements }: &AuditPruneSession,
) -> Result<bool, DatabaseError> {
    Ok(session.query_one(&statements.lock_audit_pruning, &[]).await?.try_get(0)?)
}

/// A part of the audit table that was read.
#[derive(Debug)]
pub(crate) struct AuditSlice {
    pub(crate) looked_at: i64,
    pub(crate) deleted: i64,
    pub(crate) highest: i64,
}

pub(crate) async fn prune_audit(
    AuditPruneSession { session, statements }: &AuditPruneSession,
    above: i64,
    rows: i64,
    retention: Duration,
) -> Result<AuditSlice, DatabaseError> {
    let retention = retention.as_secs_f64();
    let row = session.query_one(&statements.prune_audit, &[&above, &rows, &retention]).await?;
    Ok(AuditSlice {
        looked_at: row.try_get("looked_at")?,
        deleted: row.try_get("deleted")?,
        highest: row.try_get::<_, Option<i64>>("highest")?.unwrap_or(above),
    })
}

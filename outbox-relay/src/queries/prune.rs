//! Deleting what was published long ago.

use std::time::Duration;

use super::PruneStatements;
use crate::database::{DatabaseError, Session};

/// Whether this session is the one that prunes.
pub(crate) async fn lock_pruning(
    session: &Session,
    statements: &PruneStatements,
) -> Result<bool, DatabaseError> {
    Ok(session.query_one(&statements.lock_pruning, &[]).await?.try_get(0)?)
}

/// Some rows of the table that were looked at.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) looked_at: i64,
    pub(crate) deleted: u64,
    /// Published, but not long ago.
    pub(crate) young: i64,
    pub(crate) highest: i64,
}

pub(crate) async fn prune(
    session: &Session,
    statements: &PruneStatements,
    above: i64,
    rows: i64,
    retention: Duration,
) -> Result<Slice, DatabaseError> {
    let retention = retention.as_secs_f64();
    let row = session.query_one(&statements.prune, &[&above, &rows, &retention]).await?;
    Ok(Slice {
        looked_at: row.try_get("looked_at")?,
        deleted: u64::try_from(row.try_get::<_, i64>("deleted")?).unwrap_or(0),
        young: row.try_get("young")?,
        highest: row.try_get::<_, Option<i64>>("highest")?.unwrap_or(above),
    })
}

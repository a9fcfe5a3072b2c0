//! The advisory locks by which relays own lanes, and by which they show that they work.

use service_kit::postgres::ReadOnly;

use crate::database::{Database, DatabaseError};
use crate::lanes::{LaneSet, Member};

/// Returns the process id of this session and the relays that work. Fails once the session can't
/// settle events any more, or does not see every row.
pub(crate) async fn list_relays(
    database: &Database,
) -> Result<(Option<i32>, Vec<Member>), DatabaseError> {
    let rows = database.session.query(&database.statements.list_relays, &[]).await?;
    if let Some(row) = rows.first() {
        let read_only =
            ReadOnly::from_server(row.try_get("is_standby")?, row.try_get("is_read_only")?);
        if let Some(read_only) = read_only {
            return Err(DatabaseError::ReadOnly(read_only));
        }
        if row.try_get("has_policies")? {
            database.sees_all_rows().await?;
        }
    }
    let (mut own, mut members) = (None, Vec::with_capacity(rows.len()));
    for row in &rows {
        let pid = row.try_get("pid")?;
        if row.try_get("own")? {
            own = Some(pid);
        }
        let lanes: i64 = row.try_get("lanes")?;
        members.push(Member {
            pid,
            lanes: LaneSet(lanes.cast_unsigned()),
            at_work: row.try_get("at_work")?,
        });
    }
    Ok((own, members))
}

pub(crate) async fn join_relays(database: &Database) -> Result<(), DatabaseError> {
    database.session.query_one(&database.statements.join_relays, &[]).await.map(drop)
}

pub(crate) async fn leave_relays(database: &Database) -> Result<(), DatabaseError> {
    database.session.query_one(&database.statements.leave_relays, &[]).await.map(drop)
}

pub(crate) async fn take_lanes(
    database: &Database,
    lanes: &[i32],
) -> Result<Vec<i32>, DatabaseError> {
    let rows = database.session.query(&database.statements.take_lanes, &[&lanes]).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

pub(crate) async fn release_lanes(database: &Database, lanes: &[i32]) -> Result<(), DatabaseError> {
    database.session.query(&database.statements.release_lanes, &[&lanes]).await.map(drop)
}

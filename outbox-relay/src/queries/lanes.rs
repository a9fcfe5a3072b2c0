//! Who relays what: the locks that stand for lanes, and for being at work.

use crate::database::{Database, DatabaseError};
use crate::lanes::{LaneSet, Member};

/// The relays at work, and which of them this one is.
pub(crate) async fn watch_lanes(
    database: &Database,
) -> Result<(Option<i32>, Vec<Member>), DatabaseError> {
    let rows = database.claim.query(&database.claims.watch_lanes, &[]).await?;
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
    database.claim.query_one(&database.claims.join_relays, &[]).await.map(drop)
}

pub(crate) async fn leave_relays(database: &Database) -> Result<(), DatabaseError> {
    database.claim.query_one(&database.claims.leave_relays, &[]).await.map(drop)
}

pub(crate) async fn take_lanes(
    database: &Database,
    lanes: &[i32],
) -> Result<Vec<i32>, DatabaseError> {
    let rows = database.claim.query(&database.claims.take_lanes, &[&lanes]).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

pub(crate) async fn give_lanes(database: &Database, lanes: &[i32]) -> Result<(), DatabaseError> {
    database.claim.query(&database.claims.give_lanes, &[&lanes]).await.map(drop)
}

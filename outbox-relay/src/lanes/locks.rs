//! The advisory locks that stand for lanes, taken and released as [`Lanes`] decides.

use std::time::Instant;

use super::{LaneSet, Lanes, LocksLost, Member};
use crate::database::queries;
use crate::database::{Database, DatabaseError};

/// Lists the relays that work, if it is time, and takes or offers lanes accordingly. Returns those
/// that were taken.
pub(crate) async fn rebalance(
    lanes: &mut Lanes,
    database: &Database,
) -> Result<LaneSet, DatabaseError> {
    if !lanes.is_list_due(Instant::now()) {
        return Ok(LaneSet::default());
    }
    if !lanes.is_member() {
        queries::join_relays(database).await?;
    }
    let (own, members) = list_members(lanes, database).await?;
    let wanted = lanes.rebalance(own, &members);
    if wanted.is_empty() {
        return Ok(LaneSet::default());
    }
    let taken = LaneSet::of(&queries::take_lanes(database, &wanted.numbers()).await?);
    lanes.took(taken);
    if !taken.is_empty() {
        let (taken, lanes, relays) = (taken.len(), lanes.owned.len(), members.len());
        tracing::info!(taken, lanes, relays, "took lanes");
    }
    Ok(taken)
}

/// Returns the process id of this session and the relays that work.
async fn list_members(
    lanes: &mut Lanes,
    database: &Database,
) -> Result<(Option<i32>, Vec<Member>), DatabaseError> {
    let (own, members) = queries::list_relays(database).await?;
    lanes
        .members_listed(own, &members, Instant::now())
        .map_err(|LocksLost| DatabaseError::LocksNotKept)?;
    Ok((own, members))
}

/// Releases the offered lanes, as far as nothing of theirs is `busy`.
pub(crate) async fn release_idle(
    lanes: &mut Lanes,
    database: &Database,
    busy: LaneSet,
) -> Result<(), DatabaseError> {
    let idle = lanes.idle(busy);
    if idle.is_empty() {
        return Ok(());
    }
    queries::release_lanes(database, &idle.numbers()).await?;
    lanes.released(idle);
    tracing::info!(released = idle.len(), lanes = lanes.owned.len(), "released lanes");
    Ok(())
}

/// Offers all lanes to the other relays, and releases those of which nothing is `busy`.
pub(crate) async fn release_all(
    lanes: &mut Lanes,
    database: &Database,
    busy: LaneSet,
) -> Result<(), DatabaseError> {
    lanes.offer_all();
    release_idle(lanes, database, busy).await?;
    if !lanes.owned.is_empty() {
        // What is in flight may take long, and the server must hear from the session until then.
        if lanes.is_member() && lanes.is_list_due(Instant::now()) {
            list_members(lanes, database).await?;
        }
        return Ok(());
    }
    if lanes.leave() {
        queries::leave_relays(database).await?;
    }
    Ok(())
}

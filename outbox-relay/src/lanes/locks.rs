//! The advisory locks that stand for lanes, taken and released as [`Lanes`] decides.

use std::time::Instant;

use super::{LaneSet, Lanes, LocksLost, Member};
use crate::database::queries;
use crate::database::{Database, DatabaseError};

/// Looks from time to time which relays are at work, and takes or offers lanes accordingly. Returns those that were taken.
pub(crate) async fn share(
    lanes: &mut Lanes,
    database: &Database,
) -> Result<LaneSet, DatabaseError> {
    if !lanes.is_watch_due(Instant::now()) {
        return Ok(LaneSet::default());
    }
    if !lanes.is_member() {
        queries::join_relays(database).await?;
    }
    let (own, members) = watch(lanes, database).await?;
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

/// The relays at work, and which of them this one is.
async fn watch(
    lanes: &mut Lanes,
    database: &Database,
) -> Result<(Option<i32>, Vec<Member>), DatabaseError> {
    let (own, members) = queries::list_relays(database).await?;
    lanes
        .watched(own, &members, Instant::now())
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
    tracing::info!(given = idle.len(), lanes = lanes.owned.len(), "gave lanes to other relays");
    Ok(())
}

/// Leaves all lanes to the other relays, once nothing of theirs is `busy`.
pub(crate) async fn release_all(
    lanes: &mut Lanes,
    database: &Database,
    busy: LaneSet,
) -> Result<(), DatabaseError> {
    lanes.release_all();
    release_idle(lanes, database, busy).await?;
    if !lanes.owned.is_empty() {
        // What is in flight may take long to end, and the server must hear of the session meanwhile.
        if lanes.is_member() && lanes.is_watch_due(Instant::now()) {
            watch(lanes, database).await?;
        }
        return Ok(());
    }
    if lanes.left() {
        queries::leave_relays(database).await?;
    }
    Ok(())
}

//! One function per statement of `sql/relay/queries`.

use std::collections::HashSet;
use std::time::Duration;

use tokio_postgres::{Client, Error, Row, Statement};
use uuid::Uuid;

use crate::database::{Database, DatabaseError, Session};
use crate::horizon::OpenTransaction;
use crate::lanes::{LaneSet, Member};
use crate::queue::Place;
use crate::table::OutboxTable;

macro_rules! statements {
    ($name:ident: $($statement:ident),+ $(,)?) => {
        /// The statements of a session, prepared once.
        #[derive(Debug)]
        pub(crate) struct $name {
            $($statement: Statement),+
        }

        impl $name {
            pub(crate) async fn prepare(client: &Client, table: &OutboxTable) -> Result<Self, Error> {
                Ok(Self {
                    $($statement: client
                        .prepare(&table.fill_in(include_str!(concat!(
                            "../../sql/relay/queries/", stringify!($statement), ".sql"
                        ))))
                        .await?),+
                })
            }
        }
    };
}

statements!(
    ClaimStatements: look_ahead,
    look_due,
    look_behind,
    load,
    watch_writers,
    watch_lanes,
    join_relays,
    leave_relays,
    name_session,
    take_lanes,
    give_lanes,
    measure_backlog,
);

statements!(SettleStatements: settle_published, settle_deleted, settle_failed, still_pending);

statements!(PruneStatements: lock_pruning, prune);

pub(crate) async fn prepare_session(client: &Client) -> Result<(), Error> {
    client.batch_execute(include_str!("../../sql/relay/queries/prepare_session.sql")).await
}

/// The server ends a session of which it hears nothing for this long, and with it the relay's locks. The relay asks twice a second.
pub(crate) async fn limit_silence(client: &Client) -> Result<(), Error> {
    client.batch_execute("SET idle_session_timeout = '12s'").await
}

/// Which events hold back those behind them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holding {
    pub(crate) ordered: bool,
    pub(crate) stuck_holds: bool,
}

/// What a look saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) places: Vec<Place>,
    /// Rows that were looked at, of whichever lane.
    pub(crate) rows: i64,
    /// The highest id among them.
    pub(crate) reached: Option<i64>,
    /// The latest row of the audit table.
    pub(crate) audited: Option<i64>,
}

pub(crate) async fn look_ahead(
    database: &Database,
    above: i64,
    open: &[OpenTransaction],
    lanes: LaneSet,
    rows: i64,
    holding: Holding,
) -> Result<Seen, DatabaseError> {
    let xids: Vec<Option<i64>> = open.iter().map(|open| open.writer.xid).collect();
    let above_ids: Vec<i64> = open.iter().map(|open| open.above).collect();
    let virtual_ids: Vec<&str> = open.iter().map(|open| open.writer.virtual_id.as_str()).collect();
    let rows = database
        .claim
        .query(
            &database.claims.look_ahead,
            &[
                &above,
                &xids,
                &above_ids,
                &lanes.0.cast_signed(),
                &rows,
                &holding.ordered,
                &holding.stuck_holds,
                &virtual_ids,
            ],
        )
        .await?;
    let Some(first) = rows.first() else {
        return Ok(Seen { places: Vec::new(), rows: 0, reached: None, audited: None });
    };
    Ok(Seen {
        rows: first.try_get("rows")?,
        reached: first.try_get("reached")?,
        audited: first.try_get("audited")?,
        places: rows
            .iter()
            .filter_map(|row| match row.try_get::<_, Option<i64>>("id") {
                Ok(None) => None,
                Ok(Some(_)) => Some(place(row)),
                Err(error) => Some(Err(error)),
            })
            .collect::<Result<_, _>>()?,
    })
}

fn place(row: &Row) -> Result<Place, Error> {
    Ok(Place {
        id: row.try_get("id")?,
        key: row.try_get("key")?,
        size: i64::from(row.try_get::<_, i32>("size")?),
    })
}

pub(crate) async fn look_due(
    database: &Database,
    lanes: LaneSet,
    most: i64,
    holding: Holding,
) -> Result<Vec<Place>, DatabaseError> {
    let rows = database
        .claim
        .query(
            &database.claims.look_due,
            &[&lanes.0.cast_signed(), &most, &holding.ordered, &holding.stuck_holds],
        )
        .await?;
    Ok(rows.iter().map(place).collect::<Result<_, _>>()?)
}

pub(crate) async fn look_behind(
    database: &Database,
    keys: &[i64],
    ids: &[i64],
    most: i64,
    stuck_holds: bool,
) -> Result<Vec<Place>, DatabaseError> {
    let rows = database
        .claim
        .query(&database.claims.look_behind, &[&keys, &ids, &most, &stuck_holds])
        .await?;
    Ok(rows.iter().map(place).collect::<Result<_, _>>()?)
}

pub(crate) async fn load(
    database: &Database,
    ids: &[i64],
    bytes: i64,
    longest: i64,
) -> Result<Vec<Row>, DatabaseError> {
    database.claim.query(&database.claims.load, &[&ids, &bytes, &longest]).await
}

/// The highest id, and then the transactions that may still add rows.
#[derive(Debug)]
pub(crate) struct Writers {
    pub(crate) highest: i64,
    pub(crate) open: Vec<Writer>,
}

/// A transaction that may still add rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Writer {
    /// What the server knows it by from its begin on; only `PREPARE TRANSACTION` changes it.
    pub(crate) virtual_id: String,
    /// `None` for one that has written nothing yet.
    pub(crate) xid: Option<i64>,
}

pub(crate) async fn watch_writers(database: &Database) -> Result<Writers, DatabaseError> {
    let row = database.claim.query_one(&database.claims.watch_writers, &[]).await?;
    let next: i64 = row.try_get("next_xid")?;
    let (virtual_ids, xids): (Vec<String>, Vec<Option<i64>>) =
        (row.try_get("virtual_ids")?, row.try_get("xids")?);
    let open = virtual_ids
        .into_iter()
        .zip(xids)
        .map(|(virtual_id, xid)| Writer { virtual_id, xid: xid.map(|xid| wide(xid, next)) });
    Ok(Writers {
        highest: row.try_get::<_, Option<i64>>("highest")?.unwrap_or(0),
        open: open.collect(),
    })
}

/// The 64 bits of a transaction's id of which 32 are known: the one nearest to `next`.
fn wide(xid: i64, next: i64) -> i64 {
    let ahead = xid.wrapping_sub(next) & 0xFFFF_FFFF;
    next + if ahead < 1 << 31 { ahead } else { ahead - (1 << 32) }
}

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

pub(crate) async fn name_session(database: &Database, name: &str) -> Result<(), DatabaseError> {
    database.claim.query_one(&database.claims.name_session, &[&name]).await.map(drop)
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

pub(crate) async fn measure_backlog(database: &Database, most: i64) -> Result<Row, DatabaseError> {
    database.claim.query_one(&database.claims.measure_backlog, &[&most]).await
}

pub(crate) async fn settle_published(
    session: &Session,
    statements: &SettleStatements,
    ids: &[i64],
    event_ids: &[Uuid],
) -> Result<HashSet<i64>, DatabaseError> {
    ids_of(&session.query(&statements.settle_published, &[&ids, &event_ids]).await?)
}

pub(crate) async fn settle_deleted(
    session: &Session,
    statements: &SettleStatements,
    ids: &[i64],
    event_ids: &[Uuid],
) -> Result<HashSet<i64>, DatabaseError> {
    ids_of(&session.query(&statements.settle_deleted, &[&ids, &event_ids]).await?)
}

pub(crate) async fn settle_failed(
    session: &Session,
    statements: &SettleStatements,
    ids: &[i64],
    event_ids: &[Uuid],
    reasons: &[&str],
    delays_seconds: &[Option<f64>],
) -> Result<HashSet<i64>, DatabaseError> {
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&ids, &event_ids, &reasons, &delays_seconds];
    ids_of(&session.query(&statements.settle_failed, &params).await?)
}

pub(crate) async fn still_pending(
    session: &Session,
    statements: &SettleStatements,
    ids: &[i64],
    event_ids: &[Uuid],
) -> Result<HashSet<i64>, DatabaseError> {
    ids_of(&session.query(&statements.still_pending, &[&ids, &event_ids]).await?)
}

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

fn ids_of(rows: &[Row]) -> Result<HashSet<i64>, DatabaseError> {
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transactions_id_is_the_nearest_to_the_next_one() {
        let epoch = 1_i64 << 32;
        assert_eq!(wide(90, 100), 90);
        assert_eq!(wide(101, 100), 101, "assigned after the snapshot was taken");
        assert_eq!(wide(90, epoch + 100), epoch + 90);
        assert_eq!(wide(epoch - 5, epoch + 100), epoch - 5, "from before the counter wrapped");
        assert_eq!(wide(3, 2 * epoch - 5), 2 * epoch + 3);
    }
}

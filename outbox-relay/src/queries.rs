//! One function per statement of `sql/relay/queries`.

use tokio_postgres::{Client, Error, Row, Statement};
use uuid::Uuid;

use crate::database::{Database, DatabaseError};

/// The statements of a session, prepared once.
#[derive(Debug)]
pub(crate) struct Statements {
    claim: Statement,
    settle_published: Statement,
    settle_failed: Statement,
    take_lock: Statement,
    release_lock: Statement,
    measure_backlog: Statement,
}

impl Statements {
    pub(crate) async fn prepare(client: &Client) -> Result<Self, Error> {
        Ok(Self {
            claim: client.prepare(include_str!("../../sql/relay/queries/claim.sql")).await?,
            settle_published: client
                .prepare(include_str!("../../sql/relay/queries/settle_published.sql"))
                .await?,
            settle_failed: client
                .prepare(include_str!("../../sql/relay/queries/settle_failed.sql"))
                .await?,
            take_lock: client
                .prepare(include_str!("../../sql/relay/queries/take_lock.sql"))
                .await?,
            release_lock: client
                .prepare(include_str!("../../sql/relay/queries/release_lock.sql"))
                .await?,
            measure_backlog: client
                .prepare(include_str!("../../sql/relay/queries/measure_backlog.sql"))
                .await?,
        })
    }
}

pub(crate) async fn prepare_session(client: &Client) -> Result<(), Error> {
    client.batch_execute(include_str!("../../sql/relay/queries/prepare_session.sql")).await
}

pub(crate) async fn claim(
    database: &Database,
    most: i64,
    bytes: i64,
) -> Result<Vec<Row>, DatabaseError> {
    database.query(&database.statements.claim, &[&most, &bytes]).await
}

pub(crate) async fn settle_published(
    database: &Database,
    ids: &[i64],
    event_ids: &[Uuid],
) -> Result<Vec<Row>, DatabaseError> {
    database.query(&database.statements.settle_published, &[&ids, &event_ids]).await
}

pub(crate) async fn settle_failed(
    database: &Database,
    ids: &[i64],
    event_ids: &[Uuid],
    reasons: &[&str],
    delays_seconds: &[Option<f64>],
) -> Result<Vec<Row>, DatabaseError> {
    let statement = &database.statements.settle_failed;
    database.query(statement, &[&ids, &event_ids, &reasons, &delays_seconds]).await
}

pub(crate) async fn take_lock(database: &Database, lock: i32) -> Result<bool, DatabaseError> {
    let row = database.query_one(&database.statements.take_lock, &[&lock]).await?;
    Ok(row.try_get(0)?)
}

pub(crate) async fn release_lock(database: &Database, lock: i32) -> Result<(), DatabaseError> {
    database.query_one(&database.statements.release_lock, &[&lock]).await.map(drop)
}

pub(crate) async fn measure_backlog(database: &Database, most: i64) -> Result<Row, DatabaseError> {
    database.query_one(&database.statements.measure_backlog, &[&most]).await
}

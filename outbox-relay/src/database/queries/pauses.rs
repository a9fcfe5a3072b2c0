//! The table `outbox_pauses`: what is not to be published for now.

use std::time::Duration;

use tokio_postgres::{Client, Error, Row};

use super::PauseStatements;
use crate::database::error::explain;
use crate::database::{DatabaseError, OutboxTable, Session};
use crate::pauses::{MAX_PAUSES, Pause, PauseSet};

/// What was found of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FoundTable {
    Absent,
    /// The role may not read it.
    Unreadable,
    Readable,
}

/// Looks for the table.
pub(crate) async fn find_pauses_table(
    client: &Client,
    table: &OutboxTable,
) -> Result<FoundTable, Error> {
    let sql = table.fill_in(include_str!("../../../../sql/relay/queries/find_pauses.sql"));
    let row = client.query_one(&sql, &[]).await?;
    Ok(match (row.try_get("table_exists")?, row.try_get("is_readable")?) {
        (false, _) => FoundTable::Absent,
        (true, false) => FoundTable::Unreadable,
        (true, true) => FoundTable::Readable,
    })
}

/// Prepares the statements, which waits for a lock on the table no longer than loading does.
pub(crate) async fn prepare_pauses(
    session: &Session,
    table: &OutboxTable,
) -> Result<PauseStatements, DatabaseError> {
    let begin = format!("BEGIN; SET LOCAL statement_timeout = {}", LOAD_LIMIT.as_millis());
    session.execute(&begin).await?;
    let prepared = PauseStatements::prepare(session.client(), table).await.map_err(explain);
    session.rollback().await?;
    prepared
}

/// The active pauses.
#[derive(Debug)]
pub(crate) struct LoadedPauses {
    pub(crate) pauses: PauseSet,
    pub(crate) oldest_age_seconds: f64,
    /// Whether there are no more than [`MAX_PAUSES`].
    pub(crate) are_all: bool,
}

impl Default for LoadedPauses {
    fn default() -> Self {
        Self { pauses: PauseSet::default(), oldest_age_seconds: 0.0, are_all: true }
    }
}

/// How long the statement may wait for a lock on the table: the relay waits as well.
const LOAD_LIMIT: Duration = Duration::from_millis(500);

/// Loads at most [`MAX_PAUSES`].
pub(crate) async fn load_pauses(
    session: &Session,
    statements: &PauseStatements,
) -> Result<LoadedPauses, DatabaseError> {
    let most = MAX_PAUSES + 1;
    let rows = session.query_within(LOAD_LIMIT, &statements.load_pauses, &[&most]).await?;
    let held = usize::try_from(MAX_PAUSES).unwrap_or(usize::MAX);
    let pauses = rows.iter().take(held).map(pause).collect::<Result<_, _>>()?;
    let ages = rows.iter().map(|row| row.try_get("age_seconds"));
    let ages: Vec<f64> = ages.collect::<Result<_, _>>()?;
    Ok(LoadedPauses {
        pauses: PauseSet::new(pauses),
        oldest_age_seconds: ages.into_iter().fold(0.0, f64::max),
        are_all: rows.len() <= held,
    })
}

fn pause(row: &Row) -> Result<Pause, Error> {
    Ok(Pause {
        aggregate_type: row.try_get("aggregate_type")?,
        aggregate_id: row.try_get("aggregate_id")?,
        event_type: row.try_get("event_type")?,
    })
}

/// Tells commands that this session's relay respects pauses, until the session ends.
pub(crate) async fn respect_pauses(
    session: &Session,
    statements: &PauseStatements,
) -> Result<(), DatabaseError> {
    session.query_one(&statements.respect_pauses, &[]).await.map(drop)
}

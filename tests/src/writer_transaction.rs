//! Transactions of writers that serialize per aggregate, as every service must: each locks or
//! inserts the aggregate's row before it writes the event.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio_postgres::{Client, Statement};

/// The table of aggregates, beside the outbox.
const AGGREGATES: &str =
    "CREATE TABLE aggregates (id text PRIMARY KEY, events bigint NOT NULL DEFAULT 0)";

/// Locks the aggregate and adds events with their number within the aggregate, in one statement,
/// which has locked the outbox before it waits for the aggregate.
const ADD: &str = "
    WITH turn AS (
        INSERT INTO aggregates AS aggregate (id, events) VALUES ($1, $2)
        ON CONFLICT (id) DO UPDATE SET events = aggregate.events + $2
        RETURNING events
    )
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
    SELECT 'order', $1, 'order.created', '{}', jsonb_build_object('number', number)
    FROM turn, generate_series(turn.events - $2 + 1, turn.events) AS number
    ORDER BY number
    RETURNING (headers ->> 'number')::bigint";

/// Only locks the aggregate; the writer does not use the outbox yet.
const WAIT: &str = "
    INSERT INTO aggregates AS aggregate (id) VALUES ($1)
    ON CONFLICT (id) DO UPDATE SET events = aggregate.events";

/// Creates the table of aggregates.
///
/// # Errors
/// When the database refuses.
pub async fn make_aggregates(sql: &Client) -> anyhow::Result<()> {
    Ok(sql.batch_execute(AGGREGATES).await?)
}

/// A writer's session.
#[derive(Debug)]
pub struct Writer {
    sql: Client,
    add: Statement,
    wait: Statement,
}

impl Writer {
    /// Prepares the statements in `sql`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn new(sql: Client) -> Result<Self, tokio_postgres::Error> {
        let (add, wait) = (sql.prepare(ADD).await?, sql.prepare(WAIT).await?);
        Ok(Self { sql, add, wait })
    }
}

/// One transaction of a writer.
#[derive(Debug, Clone)]
pub struct WriterTransaction {
    /// The aggregates, in the order in which all writers lock them.
    pub aggregates: BTreeSet<String>,
    /// The number of events of each.
    pub events: i64,
    /// How long it stays open after the first events are written.
    pub open: Duration,
    /// How it is written.
    pub style: Style,
    /// Whether it is committed.
    pub commits: bool,
}

/// How a transaction is written.
#[derive(Debug, Clone, Copy)]
pub enum Style {
    /// In one statement per aggregate.
    Plain,
    /// Locks each aggregate first, and writes the events later.
    LockFirst,
    /// Within savepoints, after one that is rolled back.
    Savepoints,
}

impl WriterTransaction {
    /// A random transaction on some of `aggregates` that stays open for up to `longest`.
    pub fn any(rng: &mut StdRng, aggregates: &[String], longest: Duration) -> Self {
        let count = if rng.random_bool(0.2) { rng.random_range(2..=4) } else { 1 };
        Self {
            aggregates: (0..count)
                .map(|_| aggregates[rng.random_range(0..aggregates.len())].clone())
                .collect(),
            events: if rng.random_bool(0.3) { rng.random_range(2..=6) } else { 1 },
            open: if rng.random_bool(0.2) {
                rng.random_range(Duration::ZERO..=longest)
            } else {
                Duration::ZERO
            },
            style: match rng.random_range(0..4) {
                0 => Style::LockFirst,
                1 => Style::Savepoints,
                _ => Style::Plain,
            },
            commits: rng.random_bool(0.9),
        }
    }

    /// Runs it. Returns the number of the last event of each aggregate, if it is committed.
    ///
    /// # Errors
    /// When the database refuses or is gone: then it may be committed nevertheless.
    pub async fn execute(
        &self,
        writer: &mut Writer,
    ) -> Result<Vec<(String, i64)>, tokio_postgres::Error> {
        let Writer { sql, add, wait } = writer;
        let transaction = sql.transaction().await?;
        let (mut open, mut numbers) = (self.open, Vec::new());
        for aggregate in &self.aggregates {
            match self.style {
                Style::Plain => (),
                Style::LockFirst => {
                    transaction.execute(&*wait, &[aggregate]).await?;
                }
                Style::Savepoints => {
                    transaction.batch_execute("SAVEPOINT given_up").await?;
                    transaction.execute(&*add, &[aggregate, &self.events]).await?;
                    transaction.batch_execute("ROLLBACK TO given_up; SAVEPOINT kept").await?;
                }
            }
            let rows = transaction.query(&*add, &[aggregate, &self.events]).await?;
            numbers.extend(rows.last().map(|last| (aggregate.clone(), last.get(0))));
            // In the middle, with some events written and others to be written.
            tokio::time::sleep(std::mem::take(&mut open)).await;
        }
        if self.commits {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
            numbers.clear();
        }
        Ok(numbers)
    }
}

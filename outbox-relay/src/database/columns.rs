//! Checks the types of the outbox's columns.

use tokio_postgres::Client;

use super::error::explain;
use super::{DatabaseError, OutboxTable};

/// A column, and the types that it may be of, as PostgreSQL names them; the first is the one that
/// it should be of.
const COLUMNS: [(&str, &[&str]); 12] = [
    ("id", &["bigint"]),
    ("event_id", &["uuid"]),
    ("aggregate_type", TEXT),
    ("aggregate_id", TEXT),
    ("event_type", TEXT),
    ("payload", JSON),
    ("headers", JSON),
    ("created_at", TIME),
    ("published_at", TIME),
    ("attempts", &["integer"]),
    ("next_attempt_at", TIME),
    ("last_error", TEXT),
];

const TEXT: &[&str] = &["text", "character varying", "character", "citext", "name"];
const JSON: &[&str] = &["jsonb", "json"];
const TIME: &[&str] = &["timestamp with time zone"];

/// Checks that a relay can work with the columns' types.
///
/// # Errors
/// A sentence that names the columns of other types. Missing columns are found when the statements
/// are prepared.
pub(crate) async fn check(client: &Client, table: &OutboxTable) -> Result<(), DatabaseError> {
    let sql = table.fill_in(include_str!("../../../sql/relay/queries/describe_columns.sql"));
    let mut wrong = Vec::new();
    for row in client.query(&sql, &[]).await.map_err(explain)? {
        let (name, kind): (&str, &str) = (row.try_get("name")?, row.try_get("kind")?);
        let base: &str = row.try_get("base")?;
        let column = COLUMNS.iter().find(|(column, _)| *column == name);
        if let Some((_, kinds)) = column.filter(|(_, kinds)| !kinds.contains(&base)) {
            wrong.push(format!("the outbox's column {name} is of type {kind}, not {}", kinds[0]));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(DatabaseError::WrongColumns(wrong.join("; "))) }
}

//! Settling events.

use std::collections::HashMap;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error};
use uuid::Uuid;

use super::NamedStatement;
use crate::cause::Fingerprint;
use crate::database::{DatabaseError, OutboxTable, Session, SettleSession};
use crate::settle::batch::{SettleAction, SettleItem, in_ascii};

/// Why a statement did not settle an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotSettled {
    /// It is no longer pending: another session published or deleted it.
    Gone,
    /// Another session holds the row's lock.
    Locked,
    /// The statement changed the row, and yet it is as it was.
    Unchanged,
}

/// Settles `items`; returns, by their ids, those that were not settled.
pub(crate) async fn settle(
    SettleSession { session, statements, settle_failed, is_utf8, .. }: &SettleSession,
    action: SettleAction,
    items: &[SettleItem],
) -> Result<HashMap<i64, NotSettled>, DatabaseError> {
    let ids: Vec<i64> = items.iter().map(|item| item.event_ref.id).collect();
    let event_ids: Vec<Uuid> = items.iter().map(|item| item.event_id).collect();
    let attempts = items.iter().map(|item| i32::try_from(item.attempts).unwrap_or(i32::MAX));
    let attempts: Vec<i32> = attempts.collect();
    let published = match action {
        SettleAction::MarkPublished => Some(&statements.settle_published),
        SettleAction::DeletePublished => Some(&statements.settle_deleted),
        SettleAction::RecordFailure => None,
    };
    if let Some(statement) = published {
        return not_settled(session, statement, &[&ids, &event_ids, &attempts]).await;
    }
    let failures = || items.iter().filter_map(|item| item.failure.as_ref());
    let stored = |reason: &String| if *is_utf8 { reason.clone() } else { in_ascii(reason) };
    let reasons: Vec<String> = failures().map(|failure| stored(&failure.reason)).collect();
    let delays: Vec<Option<f64>> =
        failures().map(|failure| failure.retry_in.map(|delay| delay.as_secs_f64())).collect();
    let kinds: Vec<&str> = failures().map(|failure| failure.kind.text()).collect();
    let fingerprints: Vec<String> =
        reasons.iter().map(|reason| Fingerprint::of(reason).to_string()).collect();
    let params: [&(dyn ToSql + Sync); 7] =
        [&ids, &event_ids, &reasons, &delays, &attempts, &kinds, &fingerprints];
    not_settled(session, settle_failed, &params).await
}

/// Prepares the statement that notes failures; `has_causes`: with their causes.
pub(crate) async fn prepare_settle_failed(
    client: &Client,
    table: &OutboxTable,
    has_causes: bool,
) -> Result<NamedStatement, Error> {
    let mut sql = include_str!("../../../../sql/relay/queries/settle_failed.sql").to_owned();
    if !has_causes {
        sql = sql.replace("{set_cause}", "");
    }
    let statement = client.prepare(&table.fill_in(&sql)).await?;
    Ok(NamedStatement { name: "settle_failed", statement })
}

async fn not_settled(
    session: &Session,
    statement: &NamedStatement,
    params: &[&(dyn ToSql + Sync)],
) -> Result<HashMap<i64, NotSettled>, DatabaseError> {
    let rows = session.query(statement, params).await?;
    let read = |row: &tokio_postgres::Row| {
        let answer = match row.try_get("answer")? {
            "gone" => NotSettled::Gone,
            "locked" => NotSettled::Locked,
            _ => NotSettled::Unchanged,
        };
        Ok((row.try_get("id")?, answer))
    };
    rows.iter().map(read).collect()
}

/// Makes sure that events can be settled at all, by a statement that changes none. From then on the
/// session's statements have a [short](SettleTimeout::Short) limit, so that a trigger that takes
/// for ever is found soon as well.
///
/// # Errors
/// Why no event can be settled.
pub(crate) async fn probe_settling(
    session: &SettleSession,
    action: SettleAction,
) -> Result<(), DatabaseError> {
    let SettleSession { session: client, statements, .. } = session;
    let probe = match action {
        SettleAction::DeletePublished => &statements.probe_deleting,
        SettleAction::MarkPublished | SettleAction::RecordFailure => &statements.probe_marking,
    };
    client.query(probe, &[]).await.map_err(DatabaseError::of_settling)?;
    set_settle_timeout(session, SettleTimeout::Short).await
}

/// How long a statement of the session may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SettleTimeout {
    /// As `prepare_settle_session.sql` sets it.
    Normal,
    /// While the rows that the database refuses to change are searched for.
    Short,
}

pub(crate) async fn set_settle_timeout(
    SettleSession { session, .. }: &SettleSession,
    timeout: SettleTimeout,
) -> Result<(), DatabaseError> {
    let sql = match timeout {
        SettleTimeout::Normal => "SET statement_timeout = '5s'",
        SettleTimeout::Short => "SET statement_timeout = '1s'",
    };
    session.execute(sql).await
}

//! What became of events that were sent.

use std::collections::HashMap;

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::database::{DatabaseError, Session, SettleSession};
use crate::settle::Manner;
use crate::settle::batch::{Item, in_ascii};

/// Why a statement did not settle an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is not pending any more, by somebody else's doing.
    Gone,
    /// Another session holds the row's lock.
    Locked,
    /// The row was changed, as far as the statement knows, and is as it was.
    Unchanged,
}

/// Settles `items`; returns, by their ids, those that were not settled.
pub(crate) async fn settle(
    SettleSession { session, statements, is_utf8, .. }: &SettleSession,
    manner: Manner,
    items: &[Item],
) -> Result<HashMap<i64, Answer>, DatabaseError> {
    let ids: Vec<i64> = items.iter().map(|item| item.place.id).collect();
    let event_ids: Vec<Uuid> = items.iter().map(|item| item.event_id).collect();
    let attempts = items.iter().map(|item| i32::try_from(item.attempts).unwrap_or(i32::MAX));
    let attempts: Vec<i32> = attempts.collect();
    if manner != Manner::Fail {
        let statement = match manner {
            Manner::Delete => &statements.settle_deleted,
            _ => &statements.settle_published,
        };
        return answers(session, statement, &[&ids, &event_ids, &attempts]).await;
    }
    let failures = || items.iter().filter_map(|item| item.failure.as_ref());
    let stored = |reason: &String| if *is_utf8 { reason.clone() } else { in_ascii(reason) };
    let reasons: Vec<String> = failures().map(|failure| stored(&failure.reason)).collect();
    let delays: Vec<Option<f64>> =
        failures().map(|failure| failure.retry_in.map(|delay| delay.as_secs_f64())).collect();
    let params: [&(dyn ToSql + Sync); 5] = [&ids, &event_ids, &reasons, &delays, &attempts];
    answers(session, &statements.settle_failed, &params).await
}

async fn answers(
    session: &Session,
    statement: &tokio_postgres::Statement,
    params: &[&(dyn ToSql + Sync)],
) -> Result<HashMap<i64, Answer>, DatabaseError> {
    let rows = session.query(statement, params).await?;
    let read = |row: &tokio_postgres::Row| {
        let answer = match row.try_get("answer")? {
            "gone" => Answer::Gone,
            "locked" => Answer::Locked,
            _ => Answer::Unchanged,
        };
        Ok((row.try_get("id")?, answer))
    };
    rows.iter().map(read).collect()
}

/// Makes sure that events can be settled at all, by a statement that changes none. The session hurries from then on, so that a
/// trigger that takes for ever is found out soon as well.
///
/// # Errors
/// Why no event can be settled.
pub(crate) async fn probe_settling(
    session: &SettleSession,
    manner: Manner,
) -> Result<(), DatabaseError> {
    let SettleSession { session: client, statements, .. } = session;
    let probe = match manner {
        Manner::Delete => &statements.probe_deleting,
        Manner::Mark | Manner::Fail => &statements.probe_marking,
    };
    client.query(probe, &[]).await.map_err(DatabaseError::of_settling)?;
    hurry_settling(session, true).await
}

/// Gives a statement of the session one second instead of five, or five again.
pub(crate) async fn hurry_settling(
    SettleSession { session, .. }: &SettleSession,
    hurry: bool,
) -> Result<(), DatabaseError> {
    session
        .execute(if hurry {
            "SET statement_timeout = '1s'"
        } else {
            "SET statement_timeout = '5s'"
        })
        .await
}

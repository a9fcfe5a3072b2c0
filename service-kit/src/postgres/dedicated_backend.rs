//! Whether a session has a backend of its own. Behind a pooler in transaction mode, session locks
//! and settings would pass to the connection's next client
//! (<https://www.pgbouncer.org/features.html>).

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Error, SimpleQueryMessage};
use uuid::Uuid;

use super::connect::Session;
use super::error::reason;

/// How long a statement may take. Behind a pooler with one connection it waits for the transaction
/// that is open here.
const QUERY_TIMEOUT: Duration = Duration::from_secs(8);

/// How many times another session runs a transaction in between: other clients may have used the
/// pooler's connections meanwhile.
const ROUNDS: u32 = 3;

/// The session setting that holds the tag.
const TAG_SETTING: &str = "outbox_relay.check";

/// Why a statement got no result.
#[derive(Debug, thiserror::Error)]
pub enum BackendCheckError {
    /// The server rejected it, or the connection was lost.
    #[error("{}", reason(.0))]
    Query(#[from] Error),
    /// The server did not answer in time.
    #[error("the server takes longer than {QUERY_TIMEOUT:?} to answer")]
    TimedOut,
}

/// The backend's process id and the tag set on it.
#[derive(Debug, PartialEq, Eq)]
struct BackendIdentity {
    pid: String,
    setting: String,
}

/// A session with a unique tag.
struct TaggedSession<'a> {
    session: &'a Session,
    identity: BackendIdentity,
}

impl<'a> TaggedSession<'a> {
    async fn tag(session: &'a Session) -> Result<Self, BackendCheckError> {
        let tag = Uuid::new_v4().to_string();
        query_last_row(session, &format!("SELECT set_config('{TAG_SETTING}', '{tag}', false)"))
            .await?;
        // Even this statement may reach another backend.
        let pid = backend_identity(session).await?.pid;
        Ok(Self { session, identity: BackendIdentity { pid, setting: tag } })
    }

    /// Returns true if the session still reaches the tagged backend.
    async fn is_same_backend(&self) -> Result<bool, BackendCheckError> {
        Ok(backend_identity(self.session).await? == self.identity)
    }
}

/// Begins a transaction. A pooler hands out the connection that was returned last, which the tagged
/// session used a moment ago. Returns false if a pooler in statement mode rejects transactions.
async fn begin(session: &Session) -> Result<bool, BackendCheckError> {
    match query_last_row(session, "BEGIN").await {
        Ok(_) => Ok(true),
        Err(BackendCheckError::Query(error)) if reason(&error).contains("pooling mode") => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Returns true if `session` keeps its backend while `other` runs transactions.
///
/// # Errors
/// If the server does not answer.
pub async fn has_dedicated_backend(
    session: &Session,
    other: &Session,
) -> Result<bool, BackendCheckError> {
    let tagged = TaggedSession::tag(session).await?;
    for _ in 0..ROUNDS {
        if !begin(other).await? {
            return Ok(false);
        }
        let is_same = tagged.is_same_backend().await;
        query_last_row(other, "COMMIT").await?;
        match is_same {
            Ok(true) => (),
            Ok(false) => return Ok(false),
            Err(BackendCheckError::TimedOut) => {
                // A slow server is still slow now. A pooler with one connection has it back.
                tagged.is_same_backend().await?;
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

async fn backend_identity(session: &Session) -> Result<BackendIdentity, BackendCheckError> {
    let sql = format!(
        "SELECT pg_backend_pid()::text, coalesce(current_setting('{TAG_SETTING}', true), '')"
    );
    let mut cells = query_last_row(session, &sql).await?.into_iter();
    Ok(BackendIdentity {
        pid: cells.next().unwrap_or_default(),
        setting: cells.next().unwrap_or_default(),
    })
}

/// Returns the last row of `sql`, if any. Uses the simple protocol, as poolers mix up prepared
/// statements.
async fn query_last_row(session: &Session, sql: &str) -> Result<Vec<String>, BackendCheckError> {
    let result = timeout(QUERY_TIMEOUT, session.client.simple_query(sql)).await;
    let messages = result.map_err(|_| BackendCheckError::TimedOut)??;
    let last = messages.into_iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|cell| row.get(cell).unwrap_or_default().to_owned()).collect())
        }
        _ => None,
    });
    Ok(last.unwrap_or_default())
}

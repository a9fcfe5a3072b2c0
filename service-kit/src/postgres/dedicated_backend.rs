//! Whether all statements of a session reach the same server process. Behind a pooler that hands out connections by transaction, the
//! locks and settings of a session would belong to whoever comes next (<https://www.pgbouncer.org/features.html>).

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Error, SimpleQueryMessage};
use uuid::Uuid;

use super::connect::Session;
use super::error::reason;

/// How long a statement may take. Behind a pooler with one connection it waits for the transactions that are open here.
const QUERY_TIMEOUT: Duration = Duration::from_secs(8);

/// How often another session gets in between: a pooler may have lent connections to others meanwhile.
const ROUNDS: u32 = 3;

/// A setting of the session that nobody else knows.
const TAG_SETTING: &str = "outbox_relay.check";

/// Why a statement got no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The server refused it, or the line broke.
    #[error("{}", reason(.0))]
    Refused(#[from] Error),
    /// The server did not answer in time.
    #[error("the server takes longer than {QUERY_TIMEOUT:?} to answer")]
    Late,
}

/// What a session says of itself.
#[derive(Debug, PartialEq, Eq)]
struct BackendIdentity {
    pid: String,
    setting: String,
}

/// A session that can be recognised.
struct TaggedSession<'a> {
    session: &'a Session,
    identity: BackendIdentity,
}

impl<'a> TaggedSession<'a> {
    async fn tag(session: &'a Session) -> Result<Self, Unanswered> {
        let tag = Uuid::new_v4().to_string();
        query_last_row(session, &format!("SELECT set_config('{TAG_SETTING}', '{tag}', false)")).await?;
        // Already this may reach another process.
        let pid = backend_identity(session).await?.pid;
        Ok(Self { session, identity: BackendIdentity { pid, setting: tag } })
    }

    /// Whether it still is what it was.
    async fn is_same_backend(&self) -> Result<bool, Unanswered> {
        Ok(backend_identity(self.session).await? == self.identity)
    }
}

/// Opens a transaction. A pooler hands out the connection that was given back last: the one that was another session's a moment
/// ago. Returns false where a pooler that hands them out by statement refuses transactions.
async fn begin(session: &Session) -> Result<bool, Unanswered> {
    match query_last_row(session, "BEGIN").await {
        Ok(_) => Ok(true),
        Err(Unanswered::Refused(error)) if reason(&error).contains("pooling mode") => Ok(false),
        Err(unanswered) => Err(unanswered),
    }
}

/// Whether `session` keeps its process while `other` has transactions, one after the other.
///
/// # Errors
/// When the server does not answer.
pub async fn keeps_apart(session: &Session, other: &Session) -> Result<bool, Unanswered> {
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
            Err(Unanswered::Late) => {
                // A server that is slow still is. A pooler that has one connection has it back.
                tagged.is_same_backend().await?;
                return Ok(false);
            }
            Err(refused) => return Err(refused),
        }
    }
    Ok(true)
}

async fn backend_identity(session: &Session) -> Result<BackendIdentity, Unanswered> {
    let sql =
        format!("SELECT pg_backend_pid()::text, coalesce(current_setting('{TAG_SETTING}', true), '')");
    let mut cells = query_last_row(session, &sql).await?.into_iter();
    Ok(BackendIdentity {
        pid: cells.next().unwrap_or_default(),
        setting: cells.next().unwrap_or_default(),
    })
}

/// The last row that `sql` returns, if any. Sent as text: poolers mix up prepared statements.
async fn query_last_row(session: &Session, sql: &str) -> Result<Vec<String>, Unanswered> {
    let result = timeout(QUERY_TIMEOUT, session.client.simple_query(sql)).await;
    let messages = result.map_err(|_| Unanswered::Late)??;
    let last = messages.into_iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|cell| row.get(cell).unwrap_or_default().to_owned()).collect())
        }
        _ => None,
    });
    Ok(last.unwrap_or_default())
}

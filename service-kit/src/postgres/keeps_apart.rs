//! Whether all statements of a session reach the same server process. Behind a pooler that hands out connections by transaction, the
//! locks and settings of a session would belong to whoever comes next (<https://www.pgbouncer.org/features.html>).

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Error, SimpleQueryMessage};
use uuid::Uuid;

use super::connect::{Session, reason};

/// How long a statement may take. Behind a pooler with one connection it waits for the transactions that are open here.
const LIMIT: Duration = Duration::from_secs(8);

/// How often another session gets in between: a pooler may have lent connections to others meanwhile.
const ROUNDS: u32 = 3;

/// A setting of the session that nobody else knows.
const SETTING: &str = "outbox_relay.check";

/// Why a statement got no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The server refused it, or the line broke.
    #[error("{}", reason(.0))]
    Refused(#[from] Error),
    /// The server did not answer in time.
    #[error("the server takes longer than {LIMIT:?} to answer")]
    Late,
}

/// What a session says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    pid: String,
    setting: String,
}

/// A session that can be recognised.
struct Marked<'a> {
    session: &'a Session,
    identity: Identity,
}

impl<'a> Marked<'a> {
    async fn mark(session: &'a Session) -> Result<Self, Unanswered> {
        let own = Uuid::new_v4().to_string();
        ask(session, &format!("SELECT set_config('{SETTING}', '{own}', false)")).await?;
        // Already this may reach another process.
        let pid = identify(session).await?.pid;
        Ok(Self { session, identity: Identity { pid, setting: own } })
    }

    /// Whether it still is what it was.
    async fn is_kept(&self) -> Result<bool, Unanswered> {
        Ok(identify(self.session).await? == self.identity)
    }
}

/// Opens a transaction. A pooler hands out the connection that was given back last: the one that was another session's a moment
/// ago. Returns false where a pooler that hands them out by statement refuses transactions.
async fn hold(session: &Session) -> Result<bool, Unanswered> {
    match ask(session, "BEGIN").await {
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
    let marked = Marked::mark(session).await?;
    for _ in 0..ROUNDS {
        if !hold(other).await? {
            return Ok(false);
        }
        let kept = marked.is_kept().await;
        ask(other, "COMMIT").await?;
        match kept {
            Ok(true) => (),
            Ok(false) => return Ok(false),
            Err(Unanswered::Late) => {
                // A server that is slow still is. A pooler that has one connection has it back.
                marked.is_kept().await?;
                return Ok(false);
            }
            Err(refused) => return Err(refused),
        }
    }
    Ok(true)
}

async fn identify(session: &Session) -> Result<Identity, Unanswered> {
    let sql =
        format!("SELECT pg_backend_pid()::text, coalesce(current_setting('{SETTING}', true), '')");
    let mut cells = ask(session, &sql).await?.into_iter();
    Ok(Identity {
        pid: cells.next().unwrap_or_default(),
        setting: cells.next().unwrap_or_default(),
    })
}

/// The last row that `sql` returns, if any. Sent as text: poolers mix up prepared statements.
async fn ask(session: &Session, sql: &str) -> Result<Vec<String>, Unanswered> {
    let answer = timeout(LIMIT, session.client.simple_query(sql)).await;
    let messages = answer.map_err(|_| Unanswered::Late)??;
    let last = messages.into_iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|cell| row.get(cell).unwrap_or_default().to_owned()).collect())
        }
        _ => None,
    });
    Ok(last.unwrap_or_default())
}

//! Whether all statements of a session reach the same server process. A relay's lanes are locks of its session: behind a pooler
//! that hands out connections by transaction they would belong to whoever comes next (<https://www.pgbouncer.org/features.html>).

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use service_kit::postgres::{DatabaseUrl, Session, connect, reason};
use tokio::time::timeout;
use tokio_postgres::SimpleQueryMessage;
use uuid::Uuid;

use super::finding::{Check, Finding};

/// How long a statement may take. Behind a pooler with one connection it waits for the transactions that are open here.
const LIMIT: Duration = Duration::from_secs(10);

/// Transactions that are opened beside the session, one after the other.
const ROUNDS: u32 = 3;

/// A setting of the session that nobody else knows.
const SETTING: &str = "outbox_relay.check";

/// What a session says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    pid: String,
    setting: String,
}

/// What this is called.
pub(super) const CHECK: &str = "pooler";

pub(super) async fn check(url: &DatabaseUrl) -> anyhow::Result<Check> {
    if keeps_its_session(url).await? {
        return Ok(Check::well(
            CHECK,
            "every statement reaches the same server process".to_owned(),
        ));
    }
    let finding = "DATABASE_URL leads to a pooler that changes the server process between statements: the relay's locks would \
                   belong to others";
    let mend = "name the server itself in DATABASE_URL, or a pool with pool_mode=session";
    Ok(Check::wrong(CHECK, Finding::new(finding.to_owned(), mend.to_owned())))
}

async fn keeps_its_session(url: &DatabaseUrl) -> anyhow::Result<bool> {
    let session = open(url).await?;
    let first = introduce(&session).await?;
    // A pooler hands out the connection that was given back last: the one that was this session's a moment ago.
    let mut others = Vec::new();
    for _ in 0..ROUNDS {
        let Ok(other) = open(url).await else {
            // No further connection is to be had; what was seen so far counts.
            break;
        };
        match ask(&other, "BEGIN; SELECT pg_backend_pid()").await {
            Ok(_) => others.push(other),
            Err(Unanswered::Late) => return Ok(false),
            // A pooler that hands out connections by statement refuses transactions.
            Err(Unanswered::Refused(said)) if said.contains("pooling mode") => return Ok(false),
            Err(Unanswered::Refused(said)) => return Err(anyhow!(said)),
        }
        match identify(&session).await {
            Ok(now) if now == first => {}
            Ok(_) | Err(Unanswered::Late) => return Ok(false),
            Err(Unanswered::Refused(said)) => return Err(anyhow!(said)),
        }
    }
    Ok(true)
}

async fn open(url: &DatabaseUrl) -> anyhow::Result<Session> {
    timeout(LIMIT, connect(url, "outbox command check"))
        .await
        .unwrap_or_else(|_| Err(anyhow!("the server does not answer within {LIMIT:?}")))
}

/// Makes the session one that can be recognised.
async fn introduce(session: &Session) -> anyhow::Result<Identity> {
    let own = Uuid::new_v4();
    let said = ask(session, &format!("SELECT set_config('{SETTING}', '{own}', false)")).await;
    said.map_err(anyhow::Error::from)?;
    let identity = identify(session).await.map_err(anyhow::Error::from)?;
    // Already this may have reached another process.
    Ok(Identity { setting: own.to_string(), ..identity })
}

async fn identify(session: &Session) -> Result<Identity, Unanswered> {
    let sql =
        format!("SELECT pg_backend_pid()::text, coalesce(current_setting('{SETTING}', true), '')");
    let row = ask(session, &sql).await?;
    let mut cells = row.into_iter();
    Ok(Identity {
        pid: cells.next().unwrap_or_default(),
        setting: cells.next().unwrap_or_default(),
    })
}

/// Why a statement got no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("{0}")]
    Refused(String),
    #[error("the server takes longer than {LIMIT:?} to answer")]
    Late,
}

/// The last row that the statements of `sql` return. Sent as text: poolers mix up prepared statements.
async fn ask(session: &Session, sql: &str) -> Result<Vec<String>, Unanswered> {
    let answer = timeout(LIMIT, session.client.simple_query(sql)).await;
    let messages = answer
        .map_err(|_| Unanswered::Late)?
        .map_err(|error| Unanswered::Refused(reason(&error)))?;
    let last = messages.into_iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|cell| row.get(cell).unwrap_or_default().to_owned()).collect())
        }
        _ => None,
    });
    last.context("no row").map_err(|error| Unanswered::Refused(error.to_string()))
}

//! Whether a pooler stands before the database that a relay can't work behind.

use std::time::Duration;

use anyhow::anyhow;
use service_kit::postgres::{DatabaseUrl, Session, connect};
use tokio::time::timeout;

use super::finding::{Check, Finding};
use crate::pooler::{Marked, ROUNDS, Unanswered, hold};

/// How long a connection may take.
const LIMIT: Duration = Duration::from_secs(10);

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

/// As a relay finds out when it starts, but with more sessions: here nothing depends on how many connections that takes.
async fn keeps_its_session(url: &DatabaseUrl) -> anyhow::Result<bool> {
    let session = open(url).await?;
    let marked = Marked::mark(&session).await?;
    let mut others = Vec::new();
    for _ in 0..ROUNDS {
        let Ok(other) = open(url).await else {
            // No further connection is to be had; what was seen so far counts.
            break;
        };
        match beside(&other, &marked).await {
            Ok(true) => others.push(other),
            Ok(false) | Err(Unanswered::Late) => return Ok(false),
            Err(refused) => return Err(refused.into()),
        }
    }
    Ok(true)
}

/// Whether the session is kept while `other` has a transaction, which is left open.
async fn beside(other: &Session, marked: &Marked<'_>) -> Result<bool, Unanswered> {
    Ok(hold(other).await? && marked.is_kept().await?)
}

async fn open(url: &DatabaseUrl) -> anyhow::Result<Session> {
    timeout(LIMIT, connect(url, "outbox command check"))
        .await
        .unwrap_or_else(|_| Err(anyhow!("the server does not answer within {LIMIT:?}")))
}

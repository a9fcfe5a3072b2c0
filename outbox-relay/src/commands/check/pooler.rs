//! Whether a pooler stands before the database that a relay can't work behind.

use std::time::Duration;

use anyhow::anyhow;
use service_kit::postgres::{DatabaseUrl, Session, connect, keeps_apart};
use tokio::time::timeout;

use super::finding::{Check, Finding};

/// How long a connection may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What this is called.
pub(super) const CHECK: &str = "pooler";

pub(super) async fn check(url: &DatabaseUrl) -> anyhow::Result<Check> {
    if keeps_apart(&open(url).await?, &open(url).await?).await? {
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

async fn open(url: &DatabaseUrl) -> anyhow::Result<Session> {
    timeout(LIMIT, connect(url, "outbox command check"))
        .await
        .unwrap_or_else(|_| Err(anyhow!("the server does not answer within {LIMIT:?}")))
}

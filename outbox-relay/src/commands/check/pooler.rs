//! Whether a pooler assigns server processes by transaction, behind which a relay can't work.

use std::time::Duration;

use anyhow::anyhow;
use service_kit::postgres::{DatabaseUrl, Session, connect, has_dedicated_backend};
use tokio::time::timeout;

use super::report::{Check, Finding};

/// How long a connection may take.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) const CHECK: &str = "pooler";

pub(super) async fn check(url: &DatabaseUrl) -> anyhow::Result<Check> {
    if has_dedicated_backend(&open(url).await?, &open(url).await?).await? {
        return Ok(Check::passed(
            CHECK,
            "every statement reaches the same server process".to_owned(),
        ));
    }
    let finding = "DATABASE_URL leads to a pooler that changes the server process between statements: the relay's locks would \
                   belong to other clients";
    let fix = "name the server itself in DATABASE_URL, or a pool with pool_mode=session";
    Ok(Check::failed(CHECK, Finding::new(finding.to_owned(), fix.to_owned())))
}

async fn open(url: &DatabaseUrl) -> anyhow::Result<Session> {
    timeout(TIMEOUT, connect(url, "outbox command check"))
        .await
        .unwrap_or_else(|_| Err(anyhow!("the server does not answer within {TIMEOUT:?}")))
}

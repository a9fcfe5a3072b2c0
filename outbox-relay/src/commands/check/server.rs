//! The database: reachable, recent enough, writable.

use super::finding::{Check, Finding};
use super::queries;
use crate::commands::session::Session;

/// The oldest version that is supported, as `server_version_num` says it.
const OLDEST: i32 = 140_000;

/// What to do when it can't be reached.
pub(super) const REACH: &str =
    "see that the server runs and that DATABASE_URL is right: psql \"$DATABASE_URL\" -c 'SELECT 1'";

/// What the server says of itself.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) version_number: i32,
    pub(super) version: String,
    pub(super) is_standby: bool,
    pub(super) is_read_only: bool,
    pub(super) database: String,
}

/// Looks at it, or says why that failed.
pub(super) async fn check(session: &Session) -> Result<Check, Check> {
    let server =
        queries::check_server(session).await.map_err(|error| Check::failed("database", &error))?;
    let Server { version, database, .. } = &server;
    let mut findings = Vec::new();
    if server.version_number < OLDEST {
        findings.push(Finding::new(
            format!("the server is PostgreSQL {version}, 14 at least is needed"),
            "upgrade it, or use another server".to_owned(),
        ));
    }
    if server.is_standby {
        findings.push(Finding::new(
            "the server is a standby, on which nothing can be noted".to_owned(),
            "name the primary in DATABASE_URL, or all hosts with target_session_attrs=read-write"
                .to_owned(),
        ));
    }
    if server.is_read_only {
        findings.push(Finding::new(
            "the database is read-only (default_transaction_read_only is on): nothing can be noted, and no relay publishes"
                .to_owned(),
            format!(
                "find out why: some providers switch it on when a disk fills up. Where it was a person: BEGIN READ WRITE; ALTER \
                 DATABASE \"{database}\" RESET default_transaction_read_only; COMMIT (or ALTER ROLE, or ALTER SYSTEM, where it \
                 was set)"
            ),
        ));
    }
    let note = format!("PostgreSQL {version}, database {database}, role {}", session.role);
    Ok(Check::of("database", findings, note))
}

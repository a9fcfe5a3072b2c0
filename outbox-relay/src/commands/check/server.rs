//! Whether the database can be reached, is recent enough and accepts writes.

use super::queries::{self, Server};
use super::report::{Check, Finding};
use crate::commands::session::Session;

/// The oldest supported version, as `server_version_num`.
const MIN_VERSION: i32 = 140_000;

/// What to do if it can't be reached.
pub(super) const CONNECT_FIX: &str = "check that the server runs and that DATABASE_URL is right: psql \"$DATABASE_URL\" -c 'SELECT 1'";

/// Checks the server. Returns `Err` if it can't be asked.
pub(super) async fn check(session: &Session) -> Result<Check, Check> {
    let server = queries::check_server(session)
        .await
        .map_err(|error| Check::from_error("database", &error))?;
    let Server { version, database, .. } = &server;
    let mut findings = Vec::new();
    if server.version_number < MIN_VERSION {
        findings.push(Finding::new(
            format!("the server is PostgreSQL {version}, 14 or later is needed"),
            "upgrade it, or use another server".to_owned(),
        ));
    }
    if server.is_standby {
        findings.push(Finding::new(
            "the server is a standby and accepts no writes".to_owned(),
            "name the primary in DATABASE_URL, or all hosts with target_session_attrs=read-write"
                .to_owned(),
        ));
    }
    if server.is_read_only {
        findings.push(Finding::new(
            "the database is read-only (default_transaction_read_only is on): no relay publishes"
                .to_owned(),
            format!(
                "find out why: some providers switch it on when a disk fills up. If a person did: BEGIN READ WRITE; ALTER \
                 DATABASE \"{database}\" RESET default_transaction_read_only; COMMIT (or ALTER ROLE, or ALTER SYSTEM, where it \
                 was set)"
            ),
        ));
    }
    let note = format!("PostgreSQL {version}, database {database}, role {}", session.role);
    Ok(Check::from_findings("database", findings, note))
}

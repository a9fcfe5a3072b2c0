//! Checks of the database: it is reachable, recent enough and writable, and has its tables and
//! privileges.

use std::time::Duration;

use service_kit::postgres::{DatabaseUrl, Session, connect, reason};
use tokio::time::timeout;
use tokio_postgres::Error;

use super::report::{CheckResult, Finding};
use crate::queries::{self, ServerInfo};

/// How long the database may take to answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The oldest supported version, as a `server_version_num`.
const MIN_SERVER_VERSION: i32 = 140_000;

const DATABASE: &str = "database";
const SCHEMA: &str = "schema";
const PRIVILEGES: &str = "privileges";
const CUSTOMERS: &str = "customers";

pub(super) async fn check(url: &DatabaseUrl, prunes: bool) -> Vec<CheckResult> {
    let unchecked = [SCHEMA, PRIVILEGES, CUSTOMERS].map(CheckResult::skipped);
    let opened = timeout(RESPONSE_TIMEOUT, connect(url, "customer-service consumer: check")).await;
    let session = match opened {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => return only_failure(unreachable(format!("{error:#}")), unchecked),
        Err(_) => return only_failure(unreachable(no_response()), unchecked),
    };
    let server = match query(queries::get_server_info(&session.client)).await {
        Ok(server) => server,
        Err(reason) => return only_failure(CheckResult::failed(DATABASE, reason), unchecked),
    };
    let mut checks = vec![check_server(&server)];
    match query(queries::find_missing_columns(&session.client)).await {
        Ok(missing) if missing.is_empty() => {
            checks.push(CheckResult::new(SCHEMA, Vec::new(), "the tables exist"));
            checks.push(check_privileges(&session, &server, prunes).await);
            checks.push(check_customers(&session).await);
        }
        Ok(missing) => {
            let finding = format!("{} are missing", missing.join(", "));
            let fix = "run customer-service migrate, or check that DATABASE_URL names the customer database";
            checks.push(CheckResult::new(SCHEMA, vec![Finding::fail(finding, fix)], ""));
            checks.extend([PRIVILEGES, CUSTOMERS].map(CheckResult::skipped));
        }
        Err(reason) => {
            checks.push(CheckResult::failed(SCHEMA, reason));
            checks.extend([PRIVILEGES, CUSTOMERS].map(CheckResult::skipped));
        }
    }
    checks
}

fn only_failure<const N: usize>(
    wrong: CheckResult,
    unchecked: [CheckResult; N],
) -> Vec<CheckResult> {
    let mut checks = vec![wrong];
    checks.extend(unchecked);
    checks
}

fn unreachable(reason: String) -> CheckResult {
    let fix = "check that the server runs and that DATABASE_URL is right: psql \"$DATABASE_URL\" -c 'SELECT 1'";
    CheckResult::new(DATABASE, vec![Finding::fail(reason, fix)], "")
}

fn check_server(server: &ServerInfo) -> CheckResult {
    let ServerInfo { version_number, version, is_standby, is_read_only, database, role } = server;
    let mut findings = Vec::new();
    if *version_number < MIN_SERVER_VERSION {
        findings.push(Finding::fail(
            format!("the server is PostgreSQL {version}, 14 at least is needed"),
            "upgrade it, or use another server",
        ));
    }
    if *is_standby {
        findings.push(Finding::fail(
            "the server is a standby, on which nothing can be counted",
            "name the primary in DATABASE_URL, or all hosts with target_session_attrs=read-write",
        ));
    } else if *is_read_only {
        findings.push(Finding::fail(
            "the database is read-only (default_transaction_read_only is on): nothing can be counted",
            "find out why: some providers switch it on when a disk fills up",
        ));
    }
    CheckResult::new(
        DATABASE,
        findings,
        format!("PostgreSQL {version}, database {database}, role {role}"),
    )
}

async fn check_privileges(session: &Session, server: &ServerInfo, prunes: bool) -> CheckResult {
    let missing = match query(queries::find_missing_privileges(&session.client, prunes)).await {
        Ok(missing) => missing,
        Err(reason) => return CheckResult::failed(PRIVILEGES, reason),
    };
    let role = &server.role;
    let findings = missing.iter().map(|privilege| {
        let to = role.replace('"', "\"\"");
        Finding::fail(
            format!("the role {role} lacks {privilege}"),
            format!("GRANT {privilege} TO \"{to}\";"),
        )
    });
    let note = format!("the role {role} has the privileges of a consumer");
    CheckResult::new(PRIVILEGES, findings.collect(), note)
}

async fn check_customers(session: &Session) -> CheckResult {
    match query(queries::has_customers(&session.client)).await {
        Ok(true) => CheckResult::new(CUSTOMERS, Vec::new(), "there are customers"),
        Ok(false) => CheckResult::new(
            CUSTOMERS,
            vec![Finding::warn(
                "there are no customers: every event is retried and finally dead-lettered",
                "add customers, or check that DATABASE_URL names the right database",
            )],
            "",
        ),
        // The checks above show why.
        Err(reason) => CheckResult::failed(CUSTOMERS, reason),
    }
}

async fn query<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match timeout(RESPONSE_TIMEOUT, answer).await {
        Ok(answer) => answer.map_err(|error| reason(&error)),
        Err(_) => Err(no_response()),
    }
}

fn no_response() -> String {
    format!("the database does not answer within {RESPONSE_TIMEOUT:?}")
}

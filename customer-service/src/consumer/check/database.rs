//! The database: reachable, recent enough, writable, with its tables, for a role that may use them.

use std::time::Duration;

use service_kit::postgres::{DatabaseUrl, Session, connect, reason};
use tokio::time::timeout;
use tokio_postgres::Error;

use super::finding::{Check, Finding};
use crate::queries::{self, Server};

/// How long the database may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// The oldest version that is supported, as `server_version_num` says it.
const OLDEST: i32 = 140_000;

const DATABASE: &str = "database";
const SCHEMA: &str = "schema";
const PRIVILEGES: &str = "privileges";
const CUSTOMERS: &str = "customers";

pub(super) async fn check(url: &DatabaseUrl, prunes: bool) -> Vec<Check> {
    let unchecked = [SCHEMA, PRIVILEGES, CUSTOMERS].map(Check::skipped);
    let opened = timeout(LIMIT, connect(url, "customer-service consumer: check")).await;
    let session = match opened {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => return only(unreached(format!("{error:#}")), unchecked),
        Err(_) => return only(unreached(silence()), unchecked),
    };
    let server = match asked(queries::check_server(&session.client)).await {
        Ok(server) => server,
        Err(reason) => return only(Check::failed(DATABASE, reason), unchecked),
    };
    let mut checks = vec![check_server(&server)];
    match asked(queries::check_schema(&session.client)).await {
        Ok(missing) if missing.is_empty() => {
            checks.push(Check::of(SCHEMA, Vec::new(), "the tables are there"));
            checks.push(check_privileges(&session, &server, prunes).await);
            checks.push(check_customers(&session).await);
        }
        Ok(missing) => {
            let finding = format!("{} are missing", missing.join(", "));
            let fix = "run customer-service migrate, or see that DATABASE_URL names the customer database";
            checks.push(Check::of(SCHEMA, vec![Finding::fail(finding, fix)], ""));
            checks.extend([PRIVILEGES, CUSTOMERS].map(Check::skipped));
        }
        Err(reason) => {
            checks.push(Check::failed(SCHEMA, reason));
            checks.extend([PRIVILEGES, CUSTOMERS].map(Check::skipped));
        }
    }
    checks
}

fn only<const N: usize>(wrong: Check, unchecked: [Check; N]) -> Vec<Check> {
    let mut checks = vec![wrong];
    checks.extend(unchecked);
    checks
}

fn unreached(reason: String) -> Check {
    let fix = "see that the server runs and that DATABASE_URL is right: psql \"$DATABASE_URL\" -c 'SELECT 1'";
    Check::of(DATABASE, vec![Finding::fail(reason, fix)], "")
}

fn check_server(server: &Server) -> Check {
    let Server { version_number, version, is_standby, is_read_only, database, role } = server;
    let mut findings = Vec::new();
    if *version_number < OLDEST {
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
    Check::of(DATABASE, findings, format!("PostgreSQL {version}, database {database}, role {role}"))
}

async fn check_privileges(session: &Session, server: &Server, prunes: bool) -> Check {
    let lacks = match asked(queries::check_privileges(&session.client, prunes)).await {
        Ok(lacks) => lacks,
        Err(reason) => return Check::failed(PRIVILEGES, reason),
    };
    let role = &server.role;
    let findings = lacks.iter().map(|lacks| {
        let to = role.replace('"', "\"\"");
        Finding::fail(
            format!("the role {role} lacks {lacks}"),
            format!("GRANT {lacks} TO \"{to}\";"),
        )
    });
    let note = format!("the role {role} may do what counting takes");
    Check::of(PRIVILEGES, findings.collect(), note)
}

async fn check_customers(session: &Session) -> Check {
    match asked(queries::check_customers(&session.client)).await {
        Ok(true) => Check::of(CUSTOMERS, Vec::new(), "there are some"),
        Ok(false) => Check::of(
            CUSTOMERS,
            vec![Finding::warn(
                "there is no customer: every order is tried again, and dead-lettered in the end",
                "add customers, or see that DATABASE_URL names the right database",
            )],
            "",
        ),
        // What keeps it from being read stands above.
        Err(reason) => Check::failed(CUSTOMERS, reason),
    }
}

async fn asked<T>(query: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match timeout(LIMIT, query).await {
        Ok(answer) => answer.map_err(|error| reason(&error)),
        Err(_) => Err(silence()),
    }
}

fn silence() -> String {
    format!("the database does not answer within {LIMIT:?}")
}

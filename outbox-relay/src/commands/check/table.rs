//! The outbox and its audit table: there, with the right columns.

use super::columns::{self, Table};
use super::expected;
use super::finding::{Check, Finding};
use super::queries;
use crate::commands::schema::for_table;
use crate::commands::session::Session;

/// The outbox as the catalogue knows it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) oid: u32,
    /// The audit table, if it is there.
    pub(super) audit_oid: Option<u32>,
    /// The schema, and whether the role may look into it.
    pub(super) schema: String,
    pub(super) may_look: bool,
    pub(super) is_table: bool,
    pub(super) has_primary_key: bool,
}

/// Finds the outbox, or says what to do.
pub(super) async fn find(session: &Session) -> Result<Found, Check> {
    let table = session.table();
    let found = match queries::check_table(session).await {
        Ok(found) => found,
        Err(error) => return Err(Check::failed("table", &error)),
    };
    let wrong =
        |finding: String, mend: String| Err(Check::wrong("table", Finding::new(finding, mend)));
    let Some(found) = found else {
        let name = if table.to_string() == "outbox" {
            String::new()
        } else {
            format!(" --outbox-table {table}")
        };
        return wrong(
            format!("the table {table} does not exist"),
            format!(
                "outbox-relay schema{name} | psql \"$DATABASE_URL\" -v ON_ERROR_STOP=1 --single-transaction"
            ),
        );
    };
    if !found.may_look {
        return wrong(
            format!("the role {} may not look into the schema {}", session.role, found.schema),
            format!("GRANT USAGE ON SCHEMA \"{}\" TO \"{}\";", found.schema, session.role),
        );
    }
    if !found.is_table {
        return wrong(
            format!("{table} is no table"),
            "name the table in OUTBOX_TABLE, not a view of it".to_owned(),
        );
    }
    Ok(found)
}

pub(super) async fn check(session: &Session, found: &Found) -> Check {
    let name = session.table().quoted("");
    let table = Table { oid: found.oid, name: &name, has_primary_key: found.has_primary_key };
    match columns::check(session, table, &expected::columns("outbox")).await {
        Ok((findings, without_default)) => {
            let mut note = format!("{} is there", session.table());
            if !without_default.is_empty() {
                let columns = without_default.join(", ");
                note.push_str(&format!("; each INSERT must name {columns}: there is no default"));
            }
            Check::of("table", findings, note)
        }
        Err(error) => Check::failed("table", &error),
    }
}

pub(super) async fn check_audit(session: &Session, found: &Found) -> Check {
    const CHECK: &str = "audit table";
    let name = session.table().quoted("_audit");
    let Some(oid) = found.audit_oid else {
        let statement = expected::statement("CREATE TABLE outbox_audit (").unwrap_or_default();
        let mend = for_table(statement, session.table());
        return Check::wrong(CHECK, Finding::new(format!("the table {name} does not exist"), mend));
    };
    // Whatever it is: nobody looks for a row of it by its number.
    let table = Table { oid, name: &name, has_primary_key: true };
    match columns::check(session, table, &expected::columns("outbox_audit")).await {
        Ok((findings, _)) => {
            Check::of(CHECK, findings, format!("{}_audit is there", session.table()))
        }
        Err(error) => Check::failed(CHECK, &error),
    }
}

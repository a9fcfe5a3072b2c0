//! Checks that the outbox, its audit table, `outbox_unsettled` and `outbox_pauses` exist and have the
//! right columns or privileges.

use super::columns::{self, CheckedTable};
use super::expected;
use super::queries::{self, ExistingTable};
use super::report::{Check, Finding};
use crate::commands::audit_actions;
use crate::commands::queries::check_pauses as check_pauses_table;
use crate::commands::schema::for_table;
use crate::commands::session::Session;

pub(super) const OUTBOX: &str = "table";
pub(super) const AUDIT: &str = "audit table";
pub(super) const UNSETTLED: &str = "unsettled table";
pub(super) const PAUSES: &str = "pauses table";

/// Returns the outbox, or a failed check if it does not exist or can't be read.
pub(super) async fn find(session: &Session) -> Result<ExistingTable, Check> {
    let table = session.table();
    let found = match queries::check_table(session).await {
        Ok(found) => found,
        Err(error) => return Err(Check::from_error(OUTBOX, &error)),
    };
    let failed =
        |finding: String, fix: String| Err(Check::failed(OUTBOX, Finding::new(finding, fix)));
    let Some(found) = found else {
        let name = if table.to_string() == "outbox" {
            String::new()
        } else {
            format!(" --outbox-table {table}")
        };
        return failed(
            format!("the table {table} does not exist"),
            format!(
                "outbox-relay schema{name} | psql \"$DATABASE_URL\" -v ON_ERROR_STOP=1 --single-transaction"
            ),
        );
    };
    if !found.schema_usage {
        return failed(
            format!("the role {} may not use the schema {}", session.role, found.schema),
            format!("GRANT USAGE ON SCHEMA \"{}\" TO \"{}\";", found.schema, session.role),
        );
    }
    if !found.is_table {
        return failed(
            format!("{table} is not a table"),
            "name the table in OUTBOX_TABLE, not a view of it".to_owned(),
        );
    }
    Ok(found)
}

pub(super) async fn check(session: &Session, table: &ExistingTable) -> Check {
    let name = session.table().quoted("");
    let ExistingTable { oid, has_primary_key, .. } = *table;
    let table = CheckedTable { oid, name: &name, has_primary_key };
    match columns::check(session, table, &expected::columns("outbox")).await {
        Ok((findings, without_default)) => {
            let mut note = format!("{} exists", session.table());
            if !without_default.is_empty() {
                let columns = without_default.join(", ");
                note.push_str(&format!("; each INSERT must name {columns}: there is no default"));
            }
            Check::from_findings(OUTBOX, findings, note)
        }
        Err(error) => Check::from_error(OUTBOX, &error),
    }
}

pub(super) async fn check_audit(session: &Session, table: &ExistingTable) -> Check {
    let name = session.table().quoted("_audit");
    let Some(oid) = table.audit_oid else {
        let statement = expected::statement("CREATE TABLE outbox_audit (").unwrap_or_default();
        let fix = for_table(statement, session.table());
        return Check::failed(AUDIT, Finding::new(format!("the table {name} does not exist"), fix));
    };
    // Whatever its primary key is: no statement looks for a row by it.
    let table = CheckedTable { oid, name: &name, has_primary_key: true };
    let found = async {
        let (mut findings, _) =
            columns::check(session, table, &expected::columns("outbox_audit")).await?;
        findings.extend(check_actions(session, oid).await?);
        Ok(findings)
    };
    match found.await {
        Ok(findings) => {
            Check::from_findings(AUDIT, findings, format!("{}_audit exists", session.table()))
        }
        Err(error) => Check::from_error(AUDIT, &error),
    }
}

/// Returns the constraints that refuse what commands of this release write into the column `action`.
async fn check_actions(session: &Session, audit_oid: u32) -> anyhow::Result<Vec<Finding>> {
    let table = session.table();
    let finding = |(name, definition): (String, String)| {
        let missing = audit_actions::missing(&definition);
        let finding = format!("the constraint {name} refuses the actions {}", missing.join(", "));
        let fix = audit_actions::fix(table, &name, &definition);
        (!missing.is_empty()).then(|| Finding::new(finding, fix))
    };
    let constraints = queries::check_actions(session, audit_oid).await?;
    Ok(constraints.into_iter().filter_map(finding).collect())
}

/// A relay works without the table, but then publishes an unsettled event again after a restart.
pub(super) async fn check_unsettled(session: &Session) -> Check {
    let (exists, missing) = match queries::check_unsettled(session).await {
        Ok(found) => found,
        Err(error) => return Check::from_error(UNSETTLED, &error),
    };
    let (name, role) = (session.table().quoted("_unsettled"), &session.role);
    if !exists {
        let statement = expected::statement("CREATE TABLE outbox_unsettled (").unwrap_or_default();
        let fix = for_table(statement, session.table());
        return Check::failed(
            UNSETTLED,
            Finding::new(format!("the table {name} does not exist"), fix),
        );
    }
    if missing.is_empty() {
        return Check::passed(UNSETTLED, format!("{}_unsettled exists", session.table()));
    }
    let missing = missing.join(", ");
    let fix = format!("GRANT {missing} ON {name} TO \"{role}\";", role = role.replace('"', "\"\""));
    Check::failed(
        UNSETTLED,
        Finding::new(format!("the role {role} lacks {missing} on {name}"), fix),
    )
}

/// A relay works without the table, but then nothing can be paused.
pub(super) async fn check_pauses(session: &Session) -> Check {
    let (exists, missing) = match check_pauses_table(session).await {
        Ok(found) => found,
        Err(error) => return Check::from_error(PAUSES, &error),
    };
    let (name, role) = (session.table().quoted("_pauses"), &session.role);
    if !exists {
        let statement = expected::statement("CREATE TABLE outbox_pauses (").unwrap_or_default();
        let grant = format!(
            "\nGRANT SELECT, INSERT, DELETE ON {name} TO \"{role}\";",
            role = role.replace('"', "\"\"")
        );
        let fix = for_table(statement, session.table()) + &grant;
        return Check::failed(
            PAUSES,
            Finding::new(format!("the table {name} does not exist"), fix),
        );
    }
    if missing.is_empty() {
        return Check::passed(PAUSES, format!("{}_pauses exists", session.table()));
    }
    let missing = missing.join(", ");
    let fix = format!("GRANT {missing} ON {name} TO \"{role}\";", role = role.replace('"', "\"\""));
    Check::failed(PAUSES, Finding::new(format!("the role {role} lacks {missing} on {name}"), fix))
}

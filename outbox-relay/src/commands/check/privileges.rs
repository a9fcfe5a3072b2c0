//! Whether the role may do what a relay and these commands do.

use super::finding::{Check, Finding};
use super::queries;
use super::table::Found;
use crate::commands::queries::find_hidden_rows;
use crate::commands::session::Session;

/// What a role may do.
#[derive(Debug)]
pub(super) struct Privileges {
    /// What it lacks on the outbox, as GRANT says it.
    pub(super) lacks: Vec<String>,
    /// What it lacks on the audit table.
    pub(super) lacks_on_audit: Vec<String>,
}

/// `prunes`: whether the relay deletes published events.
pub(super) async fn check(session: &Session, found: &Found, prunes: bool) -> Check {
    const CHECK: &str = "privileges";
    let privileges =
        match queries::check_privileges(session, found.oid, found.audit_oid, prunes).await {
            Ok(privileges) => privileges,
            Err(error) => return Check::failed(CHECK, &error),
        };
    let (table, role) = (session.table(), &session.role);
    let mut findings = Vec::new();
    for (lacks, name) in [
        (&privileges.lacks, table.quoted("")),
        (&privileges.lacks_on_audit, table.quoted("_audit")),
    ] {
        if !lacks.is_empty() {
            let lacks = lacks.join(", ");
            findings.push(Finding::new(
                format!("the role {role} lacks {lacks} on {name}"),
                format!("GRANT {lacks} ON {name} TO \"{role}\";", role = role.replace('"', "\"\"")),
            ));
        }
    }
    match find_hidden_rows(session, prunes).await {
        Ok(Some(hidden)) => {
            findings.push(Finding::new(hidden.to_string(), hidden.remedy(&table.quoted(""))));
        }
        Ok(None) => (),
        Err(error) => return Check::failed(CHECK, &error),
    }
    Check::of(CHECK, findings, format!("the role {role} may do what a relay does"))
}

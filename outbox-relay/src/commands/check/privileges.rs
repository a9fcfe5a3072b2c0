//! Whether the role has the privileges that a relay and the commands need.

use super::queries::{self, Deletes, ExistingTable};
use super::report::{Check, Finding};
use crate::commands::queries::find_hidden_rows;
use crate::commands::session::Session;

pub(super) async fn check(session: &Session, table: &ExistingTable, deletes: Deletes) -> Check {
    const CHECK: &str = "privileges";
    let missing = queries::check_privileges(session, table.oid, table.audit_oid, deletes).await;
    let missing = match missing {
        Ok(missing) => missing,
        Err(error) => return Check::from_error(CHECK, &error),
    };
    let (outbox, role) = (session.table(), &session.role);
    let mut findings = Vec::new();
    for (missing, name) in
        [(&missing.on_outbox, outbox.quoted("")), (&missing.on_audit, outbox.quoted("_audit"))]
    {
        if !missing.is_empty() {
            let missing = missing.join(", ");
            findings.push(Finding::new(
                format!("the role {role} lacks {missing} on {name}"),
                format!(
                    "GRANT {missing} ON {name} TO \"{role}\";",
                    role = role.replace('"', "\"\"")
                ),
            ));
        }
    }
    match find_hidden_rows(session, deletes.events).await {
        Ok(Some(hidden)) => {
            findings.push(Finding::new(hidden.to_string(), hidden.fix(&outbox.quoted(""))));
        }
        Ok(None) => (),
        Err(error) => return Check::from_error(CHECK, &error),
    }
    Check::from_findings(CHECK, findings, format!("the role {role} has all that a relay needs"))
}

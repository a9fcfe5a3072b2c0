//! Whether the table of unsettled events exists, and the role has its privileges on it.

use super::expected;
use super::queries;
use super::report::{Check, Finding};
use crate::commands::schema::for_table;
use crate::commands::session::Session;

pub(super) const CHECK: &str = "unsettled table";

/// A relay works without the table, but then publishes an unsettled event again after a restart.
pub(super) async fn check(session: &Session) -> Check {
    let (exists, missing) = match queries::check_unsettled(session).await {
        Ok(found) => found,
        Err(error) => return Check::from_error(CHECK, &error),
    };
    let (name, role) = (session.table().quoted("_unsettled"), &session.role);
    if !exists {
        let statement = expected::statement("CREATE TABLE outbox_unsettled (").unwrap_or_default();
        let fix = for_table(statement, session.table());
        return Check::failed(CHECK, Finding::new(format!("the table {name} does not exist"), fix));
    }
    if missing.is_empty() {
        return Check::passed(CHECK, format!("{}_unsettled exists", session.table()));
    }
    let missing = missing.join(", ");
    let fix = format!("GRANT {missing} ON {name} TO \"{role}\";", role = role.replace('"', "\"\""));
    Check::failed(CHECK, Finding::new(format!("the role {role} lacks {missing} on {name}"), fix))
}

//! The table for events that can't be settled: there, and the role may use it.

use super::expected;
use super::finding::{Check, Finding};
use super::queries;
use crate::commands::schema::for_table;
use crate::commands::session::Session;

pub(super) const CHECK: &str = "unsettled table";

/// Without it a relay works, but publishes a confirmed event again when it restarts while that event's row can't be changed.
pub(super) async fn check(session: &Session) -> Check {
    let (is_there, lacks) = match queries::check_unsettled(session).await {
        Ok(found) => found,
        Err(error) => return Check::failed(CHECK, &error),
    };
    let (name, role) = (session.table().quoted("_unsettled"), &session.role);
    if !is_there {
        let statement = expected::statement("CREATE TABLE outbox_unsettled (").unwrap_or_default();
        let mend = for_table(statement, session.table());
        return Check::wrong(CHECK, Finding::new(format!("the table {name} does not exist"), mend));
    }
    if lacks.is_empty() {
        return Check::of(CHECK, Vec::new(), format!("{}_unsettled is there", session.table()));
    }
    let lacks = lacks.join(", ");
    let mend = format!("GRANT {lacks} ON {name} TO \"{role}\";", role = role.replace('"', "\"\""));
    Check::wrong(CHECK, Finding::new(format!("the role {role} lacks {lacks} on {name}"), mend))
}

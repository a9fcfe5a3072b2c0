//! The views of the outbox. No relay reads them; people and dashboards do.

use super::expected;
use super::queries::{self, ExistingTable};
use super::report::{Check, Finding};
use crate::commands::session::Session;

pub(super) const CHECK: &str = "views";

pub(super) async fn check(session: &Session, table: &ExistingTable) -> Check {
    let (outbox, views) = (session.table(), expected::views());
    let names: Vec<String> = views.iter().map(|view| view.name_for(outbox)).collect();
    let existing = match queries::check_taken_names(session, table.oid, &names).await {
        Ok(existing) => existing,
        Err(error) => return Check::from_error(CHECK, &error),
    };
    let missing = views.iter().filter(|view| !existing.contains(&view.name_for(outbox)));
    let findings = missing.map(|view| {
        let finding = format!(
            "the view {} is missing; run the SQL of outbox-relay schema --roles again behind this, which grants it",
            outbox.quoted(view.suffix())
        );
        Finding::new(finding, view.statement(outbox))
    });
    Check::from_findings(CHECK, findings.collect(), "all exist".to_owned())
}

//! The indexes that the relays' queries need, whatever their names.

use super::expected::{self, normalize};
use super::queries::{self, ExistingIndex, ExistingTable};
use super::report::{Check, Finding};
use crate::commands::session::Session;

/// Columns that must be unique.
const UNIQUE: [&str; 2] = ["id", "event_id"];

pub(super) async fn check(session: &Session, table: &ExistingTable) -> Check {
    const CHECK: &str = "indexes";
    let audit = table.audit_oid.unwrap_or_default();
    let existing = match queries::check_indexes(session, table.oid, audit).await {
        Ok(existing) => existing,
        Err(error) => return Check::from_error(CHECK, &error),
    };
    let outbox = session.table();
    let mut findings = Vec::new();
    for column in UNIQUE {
        let is_unique = existing.iter().any(|index| {
            !index.of_audit && index.is_unique && index.is_valid && normalized(index) == column
        });
        if !is_unique {
            // Another column may be the primary key already.
            let is_key = column == "id" && !table.has_primary_key;
            let constraint = if is_key { "PRIMARY KEY" } else { "UNIQUE" };
            findings.push(Finding::new(
                format!("no index keeps {column} unique"),
                format!("ALTER TABLE {} ADD {constraint} ({column});", outbox.quoted("")),
            ));
        }
    }
    let expected = expected::indexes();
    let names: Vec<String> = expected.iter().map(|wanted| wanted.name_for(outbox)).collect();
    let taken = match queries::check_taken_names(session, table.oid, &names).await {
        Ok(taken) => taken,
        Err(error) => return Check::from_error(CHECK, &error),
    };
    for wanted in expected {
        if wanted.of_audit && table.audit_oid.is_none() {
            continue;
        }
        let equal: Vec<&ExistingIndex> = existing
            .iter()
            .filter(|index| {
                index.of_audit == wanted.of_audit && normalized(index) == wanted.definition
            })
            .collect();
        if equal.iter().any(|index| index.is_valid) {
            continue;
        }
        let name = outbox.quoted(wanted.suffix());
        let is_taken = taken.contains(&wanted.name_for(outbox));
        findings.push(match equal.first() {
            Some(broken) => Finding::new(
                format!("the index {} is invalid: its creation was interrupted", broken.name),
                format!("REINDEX INDEX CONCURRENTLY {};", broken.name),
            ),
            // The existing relation may serve others, and the name of the index does not matter.
            None if is_taken => Finding::new(
                format!("the index is missing, and its name {name} is taken"),
                wanted.statement(outbox, true),
            ),
            None => Finding::new(
                format!("the index {name} is missing"),
                wanted.statement(outbox, false),
            ),
        });
    }
    Check::from_findings(CHECK, findings, "all exist".to_owned())
}

/// Returns what is indexed, in the form of [`normalize`].
fn normalized(index: &ExistingIndex) -> String {
    index
        .definition
        .split_once(" USING btree ")
        .map_or_else(String::new, |(_, rest)| normalize(rest))
}

//! The indexes by which relays find their work, whatever their names.

use super::expected::{self, normal};
use super::finding::{Check, Finding};
use super::queries;
use super::table::Found;
use crate::commands::session::Session;

/// What must be unique.
const UNIQUE: [&str; 2] = ["id", "event_id"];

/// An index as the catalogue knows it.
#[derive(Debug)]
pub(super) struct IndexFound {
    pub(super) of_audit: bool,
    /// With its schema, quoted where needed.
    pub(super) name: String,
    /// What `pg_get_indexdef` says.
    pub(super) definition: String,
    pub(super) is_unique: bool,
    pub(super) is_valid: bool,
}

pub(super) async fn check(session: &Session, found: &Found) -> Check {
    const CHECK: &str = "indexes";
    let audit = found.audit_oid.unwrap_or_default();
    let there = match queries::check_indexes(session, found.oid, audit).await {
        Ok(there) => there,
        Err(error) => return Check::failed(CHECK, &error),
    };
    let table = session.table();
    let mut findings = Vec::new();
    for column in UNIQUE {
        let is_unique = there.iter().any(|index| {
            !index.of_audit && index.is_unique && index.is_valid && indexed(index) == column
        });
        if !is_unique {
            // A table has one primary key, and it may be another column.
            let is_key = column == "id" && !found.has_primary_key;
            let constraint = if is_key { "PRIMARY KEY" } else { "UNIQUE" };
            findings.push(Finding::new(
                format!("no index keeps {column} unique"),
                format!("ALTER TABLE {} ADD {constraint} ({column});", table.quoted("")),
            ));
        }
    }
    let expected = expected::indexes();
    let names: Vec<String> = expected.iter().map(|wanted| wanted.name_for(table)).collect();
    let taken = match queries::check_names(session, found.oid, &names).await {
        Ok(taken) => taken,
        Err(error) => return Check::failed(CHECK, &error),
    };
    for wanted in expected {
        if wanted.of_audit && found.audit_oid.is_none() {
            continue;
        }
        let alike: Vec<&IndexFound> = there
            .iter()
            .filter(|index| {
                index.of_audit == wanted.of_audit && indexed(index) == wanted.definition
            })
            .collect();
        if alike.iter().any(|index| index.is_valid) {
            continue;
        }
        let name = table.quoted(wanted.suffix());
        let is_taken = taken.contains(&wanted.name_for(table));
        findings.push(match alike.first() {
            Some(broken) => Finding::new(
                format!("the index {} was never finished", broken.name),
                format!("REINDEX INDEX CONCURRENTLY {};", broken.name),
            ),
            // Relays find an index whatever its name. What has this one may serve others.
            None if is_taken => Finding::new(
                format!("{name} is something else than the index that it should be"),
                wanted.statement(table, true),
            ),
            None => {
                Finding::new(format!("the index {name} is missing"), wanted.statement(table, false))
            }
        });
    }
    Check::of(CHECK, findings, "all are there".to_owned())
}

fn indexed(index: &IndexFound) -> String {
    index.definition.split_once(" USING btree ").map_or_else(String::new, |(_, rest)| normal(rest))
}

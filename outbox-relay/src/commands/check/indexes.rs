//! The indexes by which relays find their work, whatever their names.

use super::expected::{self, normal};
use super::finding::{Check, Finding};
use super::queries;
use super::table::Found;
use crate::commands::session::Session;

/// What must be unique: what is indexed, and what to add to the table.
const UNIQUE: [(&str, &str); 2] = [("id", "PRIMARY KEY (id)"), ("event_id", "UNIQUE (event_id)")];

/// An index as the catalogue knows it.
#[derive(Debug)]
pub(super) struct IndexFound {
    pub(super) of_audit: bool,
    /// With its schema, quoted where needed.
    pub(super) name: String,
    /// The name alone.
    pub(super) plain_name: String,
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
    for (column, constraint) in UNIQUE {
        let is_unique = there.iter().any(|index| {
            !index.of_audit && index.is_unique && index.is_valid && indexed(index) == column
        });
        if !is_unique {
            findings.push(Finding::new(
                format!("no index keeps {column} unique"),
                format!("ALTER TABLE {} ADD {constraint};", table.quoted("")),
            ));
        }
    }
    for wanted in expected::indexes() {
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
        let namesake = there.iter().any(|index| index.plain_name == wanted.name_for(table));
        findings.push(match alike.first() {
            Some(broken) => Finding::new(
                format!("the index {} was never finished", broken.name),
                format!("REINDEX INDEX CONCURRENTLY {};", broken.name),
            ),
            None if namesake => Finding::new(
                format!("the index {name} is another one than it should be"),
                format!("DROP INDEX CONCURRENTLY {name};\n{}", wanted.statement(table)),
            ),
            None => Finding::new(format!("the index {name} is missing"), wanted.statement(table)),
        });
    }
    Check::of(CHECK, findings, "all are there".to_owned())
}

fn indexed(index: &IndexFound) -> String {
    index.definition.split_once(" USING btree ").map_or_else(String::new, |(_, rest)| normal(rest))
}

//! The sequence that numbers the events.

use super::finding::{Check, Finding};
use super::queries;
use super::table::Found;
use crate::commands::session::Session;

/// A sequence as the catalogue knows it.
#[derive(Debug)]
pub(super) struct SequenceFound {
    /// With its schema, quoted where needed.
    pub(super) name: String,
    pub(super) cache: i64,
    pub(super) increment: i64,
    pub(super) highest: i64,
}

pub(super) async fn check(session: &Session, found: &Found) -> Check {
    const CHECK: &str = "sequence";
    let sequence = match queries::check_sequence(session, found.oid).await {
        Ok(sequence) => sequence,
        Err(error) => return Check::failed(CHECK, &error),
    };
    let Some(SequenceFound { name, cache, increment, highest }) = sequence else {
        let table = session.table().quoted("");
        // It goes on behind the rows that are there.
        let mend = format!(
            "ALTER TABLE {table} ALTER COLUMN id DROP DEFAULT, ALTER COLUMN id SET NOT NULL, ALTER COLUMN id ADD GENERATED ALWAYS \
             AS IDENTITY;\nSELECT setval(pg_get_serial_sequence('{table}', 'id'), greatest(max(id), 1)) FROM {table};"
        );
        let finding = "no sequence of the table gives id its numbers";
        return Check::wrong(CHECK, Finding::new(finding.to_owned(), mend));
    };
    let mut findings = Vec::new();
    if cache != 1 {
        findings.push(Finding::new(
            format!(
                "sessions take {cache} ids at a time: an aggregate's events may get ids in another order than they commit"
            ),
            format!("ALTER SEQUENCE {name} CACHE 1;"),
        ));
    }
    if increment < 1 {
        findings.push(Finding::new(
            "ids descend: events would be published in the wrong order".to_owned(),
            format!("ALTER SEQUENCE {name} INCREMENT BY 1;"),
        ));
    }
    if increment > 0 && highest < i64::MAX {
        findings.push(Finding::new(
            format!("there are no ids above {highest}: INSERTs are refused once they are used up"),
            format!("ALTER SEQUENCE {name} AS bigint NO MAXVALUE;"),
        ));
    }
    Check::of(CHECK, findings, format!("{name} gives one id at a time"))
}

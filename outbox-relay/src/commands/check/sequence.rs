//! The sequence that generates the ids of events.

use super::queries::{self, ExistingSequence, ExistingTable};
use super::report::{Check, Finding};
use crate::commands::session::Session;

pub(super) async fn check(session: &Session, table: &ExistingTable) -> Check {
    const CHECK: &str = "sequence";
    let sequence = match queries::check_sequence(session, table.oid).await {
        Ok(sequence) => sequence,
        Err(error) => return Check::from_error(CHECK, &error),
    };
    let Some(ExistingSequence { name, cache, increment, highest }) = sequence else {
        let outbox = session.table().quoted("");
        // The new sequence continues after the highest id.
        let fix = format!(
            "ALTER TABLE {outbox} ALTER COLUMN id DROP DEFAULT, ALTER COLUMN id SET NOT NULL, ALTER COLUMN id ADD GENERATED ALWAYS \
             AS IDENTITY;\nSELECT setval(pg_get_serial_sequence('{outbox}', 'id'), greatest(max(id), 1)) FROM {outbox};"
        );
        let finding = "no sequence generates the ids";
        return Check::failed(CHECK, Finding::new(finding.to_owned(), fix));
    };
    let mut findings = Vec::new();
    if cache != 1 {
        findings.push(Finding::new(
            format!(
                "sessions take {cache} ids at a time: an aggregate's events may commit in another order than that of their ids"
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
            format!("the sequence ends at {highest}: INSERTs fail after that"),
            format!("ALTER SEQUENCE {name} AS bigint NO MAXVALUE;"),
        ));
    }
    Check::from_findings(CHECK, findings, format!("{name} generates one id at a time"))
}

//! Parts that several statements of the commands share, or that depend on which columns there are.

/// Whether a row meets the conditions of a filter.
const MATCHES: &str = include_str!("../../../../sql/relay/fragments/matches.sql");
/// The same for conditions on the cause of a failure.
const MATCHES_CAUSE: &str = include_str!("../../../../sql/relay/fragments/matches_cause.sql");

/// Whether a row is one of a group of failures.
const IS_IN_GROUP: &str = include_str!("../../../../sql/relay/fragments/is_in_group.sql");

/// The columns of a listed event.
const LISTED_COLUMNS: &str = include_str!("../../../../sql/relay/fragments/listed_columns.sql");

/// The events that hold back listed ones.
const FIRST_FAILED: &str = include_str!("../../../../sql/relay/fragments/first_failed.sql");

/// A listed event as JSON.
const EVENT_JSON: &str = include_str!("../../../../sql/relay/fragments/event_json.sql");

/// Whether a row is not due, and behind a place in the order of the times.
const IS_NOT_DUE: &str = include_str!("../../../../sql/relay/fragments/is_not_due.sql");

/// Whether an audit row is one that its indexes find.
const IS_IN_AUDIT: &str = include_str!("../../../../sql/relay/fragments/is_in_audit.sql");

/// A pause as JSON.
const PAUSE_JSON: &str = include_str!("../../../../sql/relay/fragments/pause_json.sql");

/// Which columns the outbox and its audit table have that an older schema lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Columns {
    /// `error_kind` and `error_fingerprint` of the outbox.
    pub(super) has_causes: bool,
    /// `operation_id` of the audit table.
    pub(super) has_operations: bool,
}

impl Columns {
    /// The statement `sql` with the parts that it names. Of columns that are missing nothing is
    /// read or written.
    pub(super) fn fill_in(self, sql: &str) -> String {
        let causes: [(&str, &str); 3] = if self.has_causes {
            [
                ("{matches_cause}", MATCHES_CAUSE),
                ("{cause_columns}", ", error_kind, error_fingerprint"),
                (
                    "{cause_members}",
                    ", 'error_kind', error_kind, 'error_fingerprint', error_fingerprint",
                ),
            ]
        } else {
            [("{matches_cause}", "true"), ("{cause_columns}", ""), ("{cause_members}", "")]
        };
        let operations: [(&str, &str); 4] = if self.has_operations {
            [
                ("{operation_column}", ", operation_id"),
                ("{operation_value}", ", (SELECT id FROM operation)"),
                ("{operation_member}", ", 'operation_id', operation_id"),
                ("{operation_id}", "operation_id"),
            ]
        } else {
            [
                ("{operation_column}", ""),
                ("{operation_value}", ""),
                ("{operation_member}", ""),
                ("{operation_id}", "NULL::uuid"),
            ]
        };
        let shared = [
            ("{matches}", MATCHES),
            ("{is_in_group}", IS_IN_GROUP),
            ("{pause_json}", PAUSE_JSON),
            ("{listed_columns}", LISTED_COLUMNS),
            ("{first_failed}", FIRST_FAILED),
            ("{event_json}", EVENT_JSON),
            ("{is_not_due}", IS_NOT_DUE),
            ("{is_in_audit}", IS_IN_AUDIT),
        ];
        shared
            .into_iter()
            .chain(causes)
            .chain(operations)
            .fold(sql.to_owned(), |sql, (name, part)| sql.replace(name, part))
    }
}

//! What a command's session has to know about the tables of the desk.

use anyhow::anyhow;
use service_kit::postgres;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::commands::session::{self, Failed, Tables, explain_any};

/// A session with the database that has the dead letters.
pub(super) type Session = session::Session<DeskTables>;

/// Whether queue, cause and type are those of a filter.
const MATCHES_GROUP: &str =
    include_str!("../../../../sql/dead-letters/fragments/matches_group.sql");
/// Whether a dead letter meets the other conditions of a filter.
const MATCHES_LETTER: &str =
    include_str!("../../../../sql/dead-letters/fragments/matches_letter.sql");
/// The next group in the index by cause.
const NEXT_GROUP: &str = include_str!("../../../../sql/dead-letters/fragments/next_group.sql");
/// Whether a dead letter is one of a group.
const IS_IN_GROUP: &str = include_str!("../../../../sql/dead-letters/fragments/is_in_group.sql");
/// The columns of dead letters that the filters of commands name.
const CONDITIONS_COLUMNS: &str =
    include_str!("../../../../sql/dead-letters/fragments/conditions_columns.sql");
/// Whether a dead letter of any state has the message id of the filter.
const HAS_MESSAGE_ID: &str =
    include_str!("../../../../sql/dead-letters/fragments/has_message_id.sql");
/// Whether a dead letter that is not settled has the queue and the message id of the filter.
const IS_INDEXED: &str = include_str!("../../../../sql/dead-letters/fragments/is_indexed.sql");
/// Whether a dead letter was settled in a state, before a place in the list.
const IS_SETTLED: &str = include_str!("../../../../sql/dead-letters/fragments/is_settled.sql");
/// Whether a dead letter is one of a group, above an id.
const IS_IN_GROUP_AFTER: &str =
    include_str!("../../../../sql/dead-letters/fragments/is_in_group_after.sql");
/// Whether an audit row is one that its indexes find.
const IS_IN_AUDIT: &str = include_str!("../../../../sql/dead-letters/fragments/is_in_audit.sql");
/// A hash of what can be edited.
const CONTENTS_DIGEST: &str =
    include_str!("../../../../sql/dead-letters/fragments/contents_digest.sql");

/// The statements that add the tables.
const ADD_TABLES: &str = "outbox-relay dead-letters schema | psql \"$DEAD_LETTERS_DATABASE_URL\" -v ON_ERROR_STOP=1 --single-transaction";

/// `dead_letters` and the tables beside it.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands) struct DeskTables;

impl Tables for DeskTables {
    const NAME_PREFIX: &'static str = "dead-letters command ";
    /// Nothing follows the audit table of the desk in order, so writers need no lock.
    const LOCK_AUDIT: Option<&'static str> = None;
    const FIND_LOCK_HOLDERS: &'static str =
        include_str!("../../../../sql/dead-letters/commands/find_lock_holders.sql");
    const NAME: &'static str = "the dead letters";
    const ROLE_SETTING: &'static str = "DEAD_LETTERS_ROLE";

    fn fill_in(&self, sql: &str) -> String {
        sql.replace("{matches}", "{matches_group} AND {matches_letter}")
            .replace("{matches_group}", MATCHES_GROUP)
            .replace("{matches_letter}", MATCHES_LETTER)
            .replace("{next_group}", NEXT_GROUP)
            .replace("{is_in_group}", IS_IN_GROUP)
            .replace("{conditions_columns}", CONDITIONS_COLUMNS)
            .replace("{has_message_id}", HAS_MESSAGE_ID)
            .replace("{is_indexed}", IS_INDEXED)
            .replace("{is_settled}", IS_SETTLED)
            .replace("{is_in_group_after}", IS_IN_GROUP_AFTER)
            .replace("{is_in_audit}", IS_IN_AUDIT)
            .replace("{contents_digest}", CONTENTS_DIGEST)
    }

    fn explain(&self, error: &Error, failed: Failed<'_>) -> anyhow::Error {
        let reason = postgres::reason(error);
        match error.code() {
            Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME) => {
                anyhow!("{reason}: add the tables of the desk with `{ADD_TABLES}`")
            }
            Some(&SqlState::UNDEFINED_COLUMN | &SqlState::DATATYPE_MISMATCH) => anyhow!(
                "these are not the tables of this release ({reason}): compare them with `outbox-relay dead-letters schema`"
            ),
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => not_allowed(&reason, failed),
            Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => anyhow!(
                "the database takes no writes ({reason}): name one that does in DEAD_LETTERS_DATABASE_URL"
            ),
            _ => explain_any(error, failed.limit),
        }
    }
}

/// Returns the error for a role that lacks a privilege.
fn not_allowed(reason: &str, failed: Failed<'_>) -> anyhow::Error {
    let needed = group_role(failed.command);
    let needs = failed.needs(&format!("dead-letters {}", failed.command), needed);
    anyhow!(
        "{reason}: {needs}\nWhere the role is missing, or of an older release: outbox-relay dead-letters schema --roles | psql \"$DEAD_LETTERS_DATABASE_URL\" -v ON_ERROR_STOP=1 --single-transaction"
    )
}

/// Returns which role of `sql/dead-letters/roles.sql` people need who run the command `name`.
fn group_role(name: &str) -> &'static str {
    match name {
        "edit" | "note" | "return" => "dead_letters_operator",
        "discard" | "forget" => "dead_letters_admin",
        _ => "dead_letters_viewer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_statement_is_left_open() {
        for sql in [
            include_str!("../../../../sql/dead-letters/commands/find_by_cause.sql"),
            include_str!("../../../../sql/dead-letters/commands/find_unsettled.sql"),
            include_str!("../../../../sql/dead-letters/commands/find_settled.sql"),
            include_str!("../../../../sql/dead-letters/commands/find_any.sql"),
            include_str!("../../../../sql/dead-letters/commands/list_audit.sql"),
            include_str!("../../../../sql/dead-letters/commands/list_groups.sql"),
            include_str!("../../../../sql/dead-letters/commands/select_matching.sql"),
            include_str!("../../../../sql/dead-letters/commands/edit.sql"),
        ] {
            let filled_in = DeskTables.fill_in(sql);
            assert!(filled_in != sql && !filled_in.contains("({"), "{filled_in}");
        }
    }
}

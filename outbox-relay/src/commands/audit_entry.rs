//! An audit row as `audit` and `dead-letters audit` print it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::output::table::{Align, TextTable};

/// A row of an audit table: an action of a person. Copies of the event or dead letter are left out.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AuditEntry {
    id: i64,
    /// RFC 3339.
    happened_at: String,
    /// The person, as the command knew them.
    actor: String,
    /// The role that added the row.
    db_user: String,
    action: String,
    reason: Option<String>,
    /// In the audit table of the outbox, unless it was about many events at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_id: Option<Uuid>,
    /// In the audit table of the desk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dead_letter_id: Option<i64>,
    /// The same for all rows of one command. An older table has no such column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation_id: Option<Uuid>,
    /// The arguments of the command, or the values that it changed, by the action.
    detail: Option<Box<RawValue>>,
}

impl AuditEntry {
    /// Returns the id of the event or of the dead letter; `many` if it was about many.
    fn subject(&self) -> String {
        match (self.event_id, self.dead_letter_id) {
            (Some(event_id), _) => event_id.to_string(),
            (None, Some(id)) => id.to_string(),
            (None, None) => "many".to_owned(),
        }
    }
}

/// Lays audit rows out as a table; `subject` is the heading of what they are about.
pub(super) fn table(entries: &[AuditEntry], subject: &str) -> String {
    let mut table = TextTable::new([
        ("ID", Align::Right),
        ("AT", Align::Left),
        ("ACTION", Align::Left),
        (subject, Align::Left),
        ("BY", Align::Left),
        ("ROLE", Align::Left),
        ("OPERATION", Align::Left),
        ("REASON", Align::Left),
    ]);
    for entry in entries {
        let operation_id = entry.operation_id.map(|id| id.to_string());
        table.add_row([
            &entry.id.to_string(),
            &entry.happened_at,
            &entry.action,
            &entry.subject(),
            &entry.actor,
            &entry.db_user,
            operation_id.as_deref().unwrap_or_default(),
            entry.reason.as_deref().unwrap_or_default(),
        ]);
    }
    table.render()
}

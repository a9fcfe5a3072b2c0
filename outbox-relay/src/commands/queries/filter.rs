//! The conditions that the events of a command meet.

use serde::Serialize;

/// Conditions; `None` admits any event. The statements read them as a JSON object of text
/// (`sql/relay/fragments/matches.sql`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(in crate::commands) struct Filter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) aggregate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) aggregate_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "type")]
    pub(in crate::commands) event_type: Option<String>,
    /// In which way it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) fingerprint: Option<String>,
    /// A part of its last error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) error: Option<String>,
    /// RFC 3339; created at or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) since: Option<String>,
    /// Created before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) published_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) published_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) above_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) up_to_id: Option<i64>,
}

impl Filter {
    /// The parameter of the statements.
    pub(in crate::commands) fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// Whether a condition is about the cause of a failure.
    pub(in crate::commands) const fn names_cause(&self) -> bool {
        self.kind.is_some() || self.fingerprint.is_some()
    }
}

/// Which pending events a command may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Candidates {
    /// All that are pending.
    Pending,
    /// Those that wait for their next attempt or are stuck.
    HeldBack,
    /// Those that are stuck.
    Stuck,
}

/// What pending events meet that a command may change.
#[derive(Debug, Clone)]
pub(in crate::commands) struct Conditions {
    pub(in crate::commands) filter: Filter,
    pub(in crate::commands) candidates: Candidates,
}

//! What a user may do.

use clap::ValueEnum;
use serde::Serialize;

/// What a user may do, each more than the one before. The database keeps them to it: every command
/// takes the role of the user's rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Rights {
    /// Look.
    Viewer,
    /// Mend: retry, edit, replay, pause, resume, note, return.
    Operator,
    /// Destroy: discard, restore, forget.
    Admin,
}

impl Rights {
    /// As in the file of users.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role of sql/roles.sql.
    pub(super) fn outbox_role(self) -> String {
        format!("outbox_{}", self.text())
    }

    /// The role of sql/dead-letters/roles.sql.
    pub(super) fn dead_letters_role(self) -> String {
        format!("dead_letters_{}", self.text())
    }
}

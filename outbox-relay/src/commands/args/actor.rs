//! Who makes a change.

use clap::Args;
use nix::unistd::{User, geteuid};
use uuid::Uuid;

use crate::commands::queries::Attribution;
use crate::commands::session::Session;

/// The argument that names the actor.
#[derive(Debug, Clone, Args)]
pub(in crate::commands) struct ActorArgs {
    /// Who does this, for the audit table; by default the user of the operating system, or else the
    /// database role
    #[arg(long, env = "OUTBOX_ACTOR", value_name = "NAME", value_parser = single_line)]
    actor: Option<String>,
}

impl ActorArgs {
    /// Returns what the audit table is to record: the actor, or else the user of the operating
    /// system, or else the database role.
    pub(in crate::commands) fn attribution<T>(
        self,
        session: &Session<T>,
        reason: Option<String>,
    ) -> Attribution {
        let actor = self.actor.or_else(system_user).unwrap_or_else(|| session.role.clone());
        Attribution { actor, reason, operation_id: Uuid::new_v4() }
    }
}

/// The user of the operating system. A container's user may have no name.
fn system_user() -> Option<String> {
    User::from_uid(geteuid()).ok().flatten().map(|user| user.name).filter(|name| !name.is_empty())
}

/// A `value_parser` for one line of text that is not blank.
pub(in crate::commands) fn single_line(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("it must not be blank".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("it must not contain control characters".to_owned());
    }
    Ok(text.to_owned())
}

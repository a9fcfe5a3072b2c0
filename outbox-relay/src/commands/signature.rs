//! Who does something, and why.

use clap::Args;
use nix::unistd::{User, geteuid};

use super::session::Session;

/// Arguments that say who does it.
#[derive(Debug, Clone, Args)]
pub(super) struct ActorArgs {
    /// Who does this, for the audit table; without it, the user of the operating system or else the role of the database
    #[arg(long, env = "OUTBOX_ACTOR", value_name = "NAME", value_parser = words)]
    pub(super) actor: Option<String>,
}

/// What the audit table is told.
#[derive(Debug, Clone)]
pub(super) struct Signature {
    pub(super) actor: String,
    pub(super) reason: Option<String>,
}

impl ActorArgs {
    pub(super) fn sign(self, session: &Session, reason: Option<String>) -> Signature {
        let actor = self.actor.or_else(system_user).unwrap_or_else(|| session.role.clone());
        Signature { actor, reason }
    }
}

/// None in a container whose user has no name.
fn system_user() -> Option<String> {
    User::from_uid(geteuid()).ok().flatten().map(|user| user.name).filter(|name| !name.is_empty())
}

/// A `value_parser` for what somebody should be able to read later.
pub(super) fn words(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("it must say something".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("it must not hold control characters".to_owned());
    }
    Ok(text.to_owned())
}

//! What is set for the database or the role.

use super::finding::Check;
use super::queries;
use crate::commands::session::Session;

/// What this is called.
pub(super) const CHECK: &str = "settings";

/// Settings that every session of ours sets for itself, whatever they are: see `prepare_session.sql` and `prepare_transaction.sql`.
const OVERRIDDEN: [&str; 12] = [
    "statement_timeout",
    "lock_timeout",
    "idle_session_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
    "default_transaction_isolation",
    "default_transaction_deferrable",
    "row_security",
    "plan_cache_mode",
    "random_page_cost",
    "work_mem",
    "jit",
];

/// Something that is set.
#[derive(Debug)]
pub(super) struct SettingFound {
    /// The setting with its value.
    pub(super) setting: String,
    /// For whom: empty for everybody.
    pub(super) place: String,
}

impl SettingFound {
    fn is_overridden(&self) -> bool {
        let name = self.setting.split('=').next().unwrap_or_default();
        OVERRIDDEN.contains(&name) || name.starts_with("enable_")
    }
}

/// Says what is set and does not count.
pub(super) async fn check(session: &Session) -> Check {
    let settings = match queries::check_settings(session).await {
        Ok(settings) => settings,
        Err(error) => return Check::failed(CHECK, &error),
    };
    let overridden: Vec<String> = settings
        .iter()
        .filter(|found| found.is_overridden())
        .map(|SettingFound { setting, place }| format!("{setting} ({place})"))
        .collect();
    let note = if overridden.is_empty() {
        "none is set for the database or the role that a relay would override".to_owned()
    } else {
        format!("sessions of relays and commands override {}", overridden.join(", "))
    };
    Check::well(CHECK, note)
}

//! Settings of the database or the role that the sessions of relays and commands override.

use super::queries::{self, StoredSetting};
use super::report::Check;
use crate::commands::session::Session;

pub(super) const CHECK: &str = "settings";

/// Settings that each session overrides, in `prepare_session.sql` or `prepare_transaction.sql`.
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

fn is_overridden(setting: &str) -> bool {
    let name = setting.split('=').next().unwrap_or_default();
    OVERRIDDEN.contains(&name) || name.starts_with("enable_")
}

/// Lists the settings that have no effect. The check never fails.
pub(super) async fn check(session: &Session) -> Check {
    let settings = match queries::check_settings(session).await {
        Ok(settings) => settings,
        Err(error) => return Check::from_error(CHECK, &error),
    };
    let overridden: Vec<String> = settings
        .iter()
        .filter(|stored| is_overridden(&stored.setting))
        .map(|StoredSetting { setting, scope }| format!("{setting} ({scope})"))
        .collect();
    let note = if overridden.is_empty() {
        "the database and the role have none that a relay overrides".to_owned()
    } else {
        format!("sessions of relays and commands override {}", overridden.join(", "))
    };
    Check::passed(CHECK, note)
}

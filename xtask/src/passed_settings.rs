//! The services' settings that `up` and `restart` pass on to them from the environment.

/// Variables that would connect a service to servers or ports other than the stack's.
const OURS: [&str; 18] = [
    "DATABASE_URL",
    "DATABASE_URL_FILE",
    "RABBITMQ_URL",
    "RABBITMQ_URL_FILE",
    "CUSTOMER_SERVICE_URL",
    "ORDER_SERVICE_URL",
    "ORDER_DATABASE_URL",
    "RELAY_DATABASE_URL",
    "CUSTOMER_DATABASE_URL",
    "DEAD_LETTERS_DATABASE_URL",
    "DEAD_LETTERS_DATABASE_URL_FILE",
    "DEAD_LETTERS_QUEUE",
    "LISTEN_ADDR",
    "OPS_ADDR",
    "OUTBOX_INBOXES",
    "CONSOLE_ADDR",
    // What `. .stack/env` sets, which looks like settings.
    "CONSOLE_URL",
    "CONSOLE_OPS_URL",
];

/// Prefixes of the services' settings, which `restart` reads from the state.
const SETTINGS: [&str; 15] = [
    "CONSOLE_",
    "CONSUMER_",
    "CUSTOMER_",
    "DATABASE_",
    "DEAD_LETTERS_",
    "HTTP_",
    "LOG_",
    "MIGRATE_",
    "ORDER_",
    "OTEL_",
    "RABBITMQ_MAX_RETRIES",
    "RABBITMQ_RETRY_TTL_MS",
    "RELAY_",
    "RUST_LOG",
    "SHUTDOWN_",
];

/// The services' settings in this process's environment.
pub(crate) fn settings_from_environment() -> Vec<(String, String)> {
    std::env::vars().filter(|(name, _)| is_passed_on(name)).collect()
}

fn is_passed_on(name: &str) -> bool {
    SETTINGS.iter().any(|prefix| name.starts_with(prefix)) && !is_ours(name)
}

/// Whether a variable would connect a service to another server or port than the stack's.
pub(crate) fn is_ours(name: &str) -> bool {
    OURS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_passed_on_except_for_addresses() {
        for name in ["CONSOLE_AUTH", "CONSOLE_ENVIRONMENT", "RELAY_WINDOW", "RUST_LOG"] {
            assert!(is_passed_on(name), "{name}");
        }
        for name in ["CONSOLE_ADDR", "CONSOLE_URL", "CONSOLE_OPS_URL", "DATABASE_URL", "HOME"] {
            assert!(!is_passed_on(name), "{name}");
        }
    }
}

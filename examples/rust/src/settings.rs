//! The settings, from the environment.

use anyhow::Context as _;

/// The settings, one for each environment variable. The consumer's variables have the same names as
/// in the other services.
pub struct Settings {
    pub database_url: String,
    pub rabbitmq_url: String,
    pub listen_addr: String,
    pub exchange: String,
    pub max_retries: i64,
    pub retry_ttl_ms: u32,
}

impl Settings {
    /// Reads the environment.
    pub fn from_env() -> anyhow::Result<Self> {
        let required = |name| std::env::var(name).with_context(|| format!("{name} is missing"));
        let optional = |name, default: &str| std::env::var(name).unwrap_or(default.to_owned());
        Ok(Self {
            database_url: required("DATABASE_URL")?,
            rabbitmq_url: required("RABBITMQ_URL")?,
            listen_addr: optional("LISTEN_ADDR", "127.0.0.1:3002"),
            exchange: optional("RELAY_EXCHANGE", "orders.events"),
            max_retries: optional("RABBITMQ_MAX_RETRIES", "20")
                .parse()
                .context("RABBITMQ_MAX_RETRIES")?,
            retry_ttl_ms: optional("RABBITMQ_RETRY_TTL_MS", "10000")
                .parse()
                .context("RABBITMQ_RETRY_TTL_MS")?,
        })
    }
}

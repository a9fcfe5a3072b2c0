//! The settings of a connection pool.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::config::{limit, limit_or_none};

/// Settings of a pool.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "PostgreSQL")]
pub struct PoolArgs {
    /// Connections to the database that requests have between them at the most
    #[arg(long, env = "DATABASE_POOL_SIZE", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=1000), value_name = "N")]
    pub database_pool_size: u16,

    /// How long a request waits for a free connection; more than 16 times the pool's size never
    /// wait at once
    #[arg(long, env = "DATABASE_POOL_WAIT", default_value = "1s", value_parser = limit_or_none, value_name = "DURATION")]
    pub database_pool_wait: Duration,

    /// How long the database may take for one statement
    #[arg(long, env = "DATABASE_STATEMENT_TIMEOUT", default_value = "5s", value_parser = limit, value_name = "DURATION")]
    pub database_statement_timeout: Duration,

    /// Whether statements are prepared by name; behind a pooler in transaction mode only one that
    /// knows how to (PgBouncer 1.21 and later) can do that
    #[arg(long, env = "DATABASE_PREPARED_STATEMENTS", default_value = "auto", value_name = "WHEN")]
    pub database_prepared_statements: PreparedStatements,
}

impl PoolArgs {
    /// Returns the same settings with a size of `size`.
    #[must_use]
    pub const fn with_size(&self, size: u16) -> Self {
        Self { database_pool_size: size, ..*self }
    }
}

/// When statements are prepared by name, so that the server plans them once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PreparedStatements {
    /// Unless a pooler stands before the database
    Auto,
    /// Always
    On,
    /// Never
    Off,
}

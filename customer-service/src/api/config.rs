//! The API's settings.

use clap::{ArgAction, Args};
use service_kit::HostPort;
use service_kit::http::ServeArgs;
use service_kit::postgres::{DatabaseArgs, MigrateArgs, PoolArgs};
use service_kit::process::ProcessArgs;

/// Settings of the `api` command.
#[derive(Debug, Clone, Args)]
pub struct ApiConfig {
    /// Where the API is served
    #[arg(long, env = "LISTEN_ADDR", default_value = "127.0.0.1:3001", value_name = "HOST:PORT")]
    pub listen_addr: HostPort,

    /// Where /livez, /readyz and /metrics are served
    #[arg(long, env = "OPS_ADDR", default_value = "127.0.0.1:9002", value_name = "HOST:PORT")]
    pub ops_addr: HostPort,

    /// Load the seed data, three customers, at start; existing customers stay unchanged
    #[arg(long, env = "SEED_CUSTOMERS", action = ArgAction::Set, default_value_t = false, value_name = "BOOL")]
    pub seed_customers: bool,

    /// How connections are served.
    #[command(flatten)]
    pub serve: ServeArgs,

    /// The customer database.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Its connection pool.
    #[command(flatten)]
    pub pool: PoolArgs,

    /// When the schema is migrated.
    #[command(flatten)]
    pub migrate: MigrateArgs,

    /// Settings of every process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

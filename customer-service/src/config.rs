//! The command line: `api`, `consumer`, `migrate`, `roles`, `health`, `openapi`.

use clap::{Args, Parser, Subcommand};
use service_kit::HostPort;
use service_kit::http::documents::Format;
use service_kit::postgres::DatabaseArgs;
use service_kit::process::ProcessArgs;

use crate::api::ApiConfig;
use crate::consumer::ConsumerCommand;

/// Customers, and how many orders each of them made
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Each command lists its settings: customer-service consumer --help"
)]
pub struct Cli {
    /// What this process does.
    #[command(subcommand)]
    pub command: Command,
}

/// What a process does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the HTTP API
    Api(Box<ApiConfig>),
    /// Count each customer's orders from the events in RabbitMQ
    Consumer(ConsumerCommand),
    /// Bring the database's schema up to date and exit
    Migrate(Box<MigrateConfig>),
    /// Print the SQL that makes the roles customer_api and customer_consumer, which may do what their work takes and nothing else, and exit
    Roles,
    /// Ask the api or consumer on this machine whether it is ready; the exit status is 0 when it is
    Health {
        /// Its operations port: the api's, unless another one is named
        #[arg(long, env = "OPS_ADDR", default_value = "127.0.0.1:9002", value_name = "HOST:PORT")]
        ops_addr: HostPort,
    },
    /// Print the HTTP API's OpenAPI document and exit
    Openapi {
        /// How the document is written
        #[arg(long, value_enum, default_value = "yaml")]
        format: Format,
    },
}

/// Settings of the `migrate` command.
#[derive(Debug, Clone, Args)]
pub struct MigrateConfig {
    /// Where the database is.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// What each process has.
    #[command(flatten)]
    pub process: ProcessArgs,
}

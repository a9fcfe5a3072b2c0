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
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the HTTP API
    Api(Box<ApiConfig>),
    /// Count each customer's orders from the events in RabbitMQ
    Consumer(ConsumerCommand),
    /// Migrate the database schema and exit
    Migrate(Box<MigrateConfig>),
    /// Print the SQL that creates the least-privilege roles customer_api, customer_consumer and
    /// customer_inbox, and exit
    Roles,
    /// Ask the api or consumer on this machine whether it is ready: exit status 0 when it is
    Health {
        /// Its operations port; the default is that of the api
        #[arg(long, env = "OPS_ADDR", default_value = "127.0.0.1:9002", value_name = "HOST:PORT")]
        ops_addr: HostPort,
    },
    /// Print the HTTP API's OpenAPI document and exit
    Openapi {
        /// Format of the document
        #[arg(long, value_enum, default_value = "yaml")]
        format: Format,
    },
}

/// Settings of the `migrate` command.
#[derive(Debug, Clone, Args)]
pub struct MigrateConfig {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Settings of every process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

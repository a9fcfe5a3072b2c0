//! The settings.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use service_kit::HostPort;
use service_kit::config::{limit, limit_or_none};
use service_kit::http::ServeArgs;
use service_kit::http::documents::Format;
use service_kit::postgres::{DatabaseArgs, MigrateArgs, PoolArgs};
use service_kit::process::ProcessArgs;

use crate::customers::{BaseUrl, CheckMode};

/// Accepts orders over HTTP and writes each with its event in one PostgreSQL transaction
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    serve: Config,
}

/// What the process is to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API (the default)
    Serve(Box<Config>),
    /// Bring the database's schema up to date and exit
    Migrate(Box<MigrateConfig>),
    /// Print the SQL that creates the role order_service, with just the privileges that serving
    /// needs, and exit
    Roles,
    /// Ask the service on this machine whether it is ready; the exit status is 0 if it is
    Health {
        /// Its operations port
        #[arg(long, env = "OPS_ADDR", default_value = "127.0.0.1:9000", value_name = "HOST:PORT")]
        ops_addr: HostPort,
    },
    /// Print the OpenAPI document and exit
    Openapi {
        /// The format of the document
        #[arg(long, value_enum, default_value = "yaml")]
        format: Format,
    },
}

impl Cli {
    /// Returns the command; serving is the default.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command.unwrap_or_else(|| Command::Serve(Box::new(self.serve)))
    }
}

/// Settings of `migrate`.
#[derive(Debug, Clone, Args)]
pub struct MigrateConfig {
    /// Settings of every process.
    #[command(flatten)]
    pub process: ProcessArgs,

    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Settings of `serve`.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where the API listens
    #[arg(long, env = "LISTEN_ADDR", default_value = "127.0.0.1:3000", value_name = "HOST:PORT")]
    pub listen_addr: HostPort,

    /// Where /livez, /readyz and /metrics are served
    #[arg(long, env = "OPS_ADDR", default_value = "127.0.0.1:9000", value_name = "HOST:PORT")]
    pub ops_addr: HostPort,

    /// Limits of the API's port.
    #[command(flatten)]
    pub http: ServeArgs,

    /// Settings of every process.
    #[command(flatten)]
    pub process: ProcessArgs,

    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// The connection pool.
    #[command(flatten)]
    pub pool: PoolArgs,

    /// How many orders may wait to be written, each for at most DATABASE_POOL_WAIT; further
    /// requests get 503
    #[arg(long, env = "ORDER_QUEUE_SIZE", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..), value_name = "N")]
    pub order_queue_size: u16,

    /// Whether the service migrates the database.
    #[command(flatten)]
    pub migrate: MigrateArgs,

    /// The customer service.
    #[command(flatten)]
    pub customers: CustomerArgs,
}

/// Settings of the customer lookups.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Customer service")]
pub struct CustomerArgs {
    /// Where the customer service is
    #[arg(
        long,
        env = "CUSTOMER_SERVICE_URL",
        default_value = "http://127.0.0.1:3001",
        value_name = "URL"
    )]
    pub customer_service_url: BaseUrl,

    /// How strictly an order's customer is checked
    #[arg(long, env = "CUSTOMER_CHECK", value_enum, default_value = "prefer", value_name = "MODE")]
    pub customer_check: CheckMode,

    /// How long connecting to the customer service may take
    #[arg(long, env = "CUSTOMER_CONNECT_TIMEOUT", default_value = "300ms", value_parser = limit, value_name = "DURATION")]
    pub customer_connect_timeout: Duration,

    /// How long a call to the customer service may take, and how long a request waits for one
    #[arg(long, env = "CUSTOMER_TIMEOUT", default_value = "1s", value_parser = limit, value_name = "DURATION")]
    pub customer_timeout: Duration,

    /// How long a known customer is cached; one that is in demand is refreshed in the background
    /// before that. An unknown customer is cached for as long, but for two seconds at most
    #[arg(long, env = "CUSTOMER_CACHE_TTL", default_value = "30s", value_parser = limit_or_none, value_name = "DURATION")]
    pub customer_cache_ttl: Duration,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use service_kit::config::{SettingsError, try_parse_from};

    use super::*;

    const URL: &str = "postgres://u@h/d";

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serving_is_the_default() {
        for args in [
            &["order-service", "--database-url", URL][..],
            &["order-service", "serve", "--database-url", URL],
        ] {
            let cli: Cli = try_parse_from(args).expect("good settings");
            let Command::Serve(config) = cli.into_command() else {
                panic!("{args:?} does not serve");
            };
            assert_eq!(config.listen_addr.to_string(), "127.0.0.1:3000");
            assert_eq!(config.customers.customer_check, CheckMode::Prefer);
        }
    }

    #[test]
    fn printing_the_document_needs_no_settings() {
        let cli: Cli = try_parse_from(["order-service", "openapi"]).expect("good settings");
        assert!(matches!(cli.into_command(), Command::Openapi { format: Format::Yaml }));
    }

    #[test]
    fn each_time_has_bounds() {
        for (flag, name, worst) in [
            ("--database-statement-timeout", "DATABASE_STATEMENT_TIMEOUT", "0s"),
            ("--database-statement-timeout", "DATABASE_STATEMENT_TIMEOUT", "500us"),
            ("--database-statement-timeout", "DATABASE_STATEMENT_TIMEOUT", "30d"),
            ("--database-pool-wait", "DATABASE_POOL_WAIT", "30d"),
            ("--customer-connect-timeout", "CUSTOMER_CONNECT_TIMEOUT", "0s"),
            ("--customer-timeout", "CUSTOMER_TIMEOUT", "0s"),
            ("--customer-cache-ttl", "CUSTOMER_CACHE_TTL", "2000y"),
            ("--shutdown-grace", "SHUTDOWN_GRACE", "500000000000y"),
        ] {
            match try_parse_from::<Cli>(["order-service", "--database-url", URL, flag, worst]) {
                Err(SettingsError::Setting(sentence)) => {
                    assert!(sentence.starts_with(name), "{sentence}");
                    assert!(sentence.contains("it must be from"), "{sentence}");
                }
                other => panic!("{flag} {worst}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_wrong_setting_is_named() {
        for (args, name) in [
            (&["order-service"][..], "DATABASE_URL"),
            (&["order-service", "migrate"], "DATABASE_URL"),
            (
                &["order-service", "--database-url", URL, "--customer-check", "maybe"],
                "CUSTOMER_CHECK",
            ),
            (
                &["order-service", "serve", "--database-url", URL, "--customer-service-url", "x"],
                "CUSTOMER_SERVICE_URL",
            ),
        ] {
            match try_parse_from::<Cli>(args) {
                Err(SettingsError::Setting(sentence)) => {
                    assert!(sentence.starts_with(name), "{sentence}");
                }
                other => panic!("{args:?}: {other:?}"),
            }
        }
    }
}

//! The consumer's settings.

use std::str::FromStr;
use std::time::Duration;

use amqp::BrokerArgs;
use clap::{ArgAction, Args};
use service_kit::HostPort;
use service_kit::config::{duration, limit};
use service_kit::postgres::{DatabaseArgs, MigrateArgs};
use service_kit::process::ProcessArgs;

/// Settings of the `consumer` command.
#[derive(Debug, Clone, Args)]
pub struct ConsumerConfig {
    /// Where /livez, /readyz and /metrics are served
    #[arg(long, env = "OPS_ADDR", default_value = "127.0.0.1:9003", value_name = "HOST:PORT")]
    pub ops_addr: HostPort,

    /// The customer database.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// How long the database may take for one statement
    #[arg(long, env = "DATABASE_STATEMENT_TIMEOUT", default_value = "5s", value_parser = limit, value_name = "DURATION", help_heading = "PostgreSQL")]
    pub database_statement_timeout: Duration,

    /// How long the ids of counted events are kept; an event that is delivered again later counts
    /// twice. off: for ever
    #[arg(
        long,
        env = "PROCESSED_EVENTS_RETENTION",
        default_value = "90d",
        value_name = "DURATION",
        help_heading = "PostgreSQL"
    )]
    pub processed_events_retention: Retention,

    /// When the schema is migrated.
    #[command(flatten)]
    pub migrate: MigrateArgs,

    /// The broker.
    #[command(flatten)]
    pub broker: BrokerArgs,

    /// How messages are received and retried.
    #[command(flatten)]
    pub subscription: SubscriptionArgs,

    /// Settings of every process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// How long the ids of counted events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// For this long.
    For(Duration),
    /// For ever.
    Unlimited,
}

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Unlimited);
        }
        // With a retention of zero each redelivery would count; PostgreSQL's timestamps can't
        // reach back further than `longest`.
        let (shortest, longest) = (Duration::from_secs(1), Duration::from_hours(24 * 365 * 1000));
        match duration(text)? {
            short if short < shortest => Err("it must be at least 1s".to_owned()),
            long if long > longest => {
                Err("it must not be longer than 1000 years; off keeps all for ever".to_owned())
            }
            given => Ok(Self::For(given)),
        }
    }
}

/// Settings of the subscription and of retries.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "RabbitMQ")]
pub struct SubscriptionArgs {
    /// Declare and bind the exchanges and queues; false: only check that they exist
    #[arg(long, env = "CONSUMER_DECLARE", action = ArgAction::Set, default_value_t = true, value_name = "BOOL")]
    pub consumer_declare: bool,

    /// Prefetch limit; up to half of it is counted in one transaction
    #[arg(long, env = "CONSUMER_PREFETCH", default_value_t = 5000, value_parser = clap::value_parser!(u16).range(1..), value_name = "N")]
    pub consumer_prefetch: u16,

    /// Retries of an event before it goes to the dead-letter queue
    #[arg(long, env = "RABBITMQ_MAX_RETRIES", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=1_000_000), value_name = "N")]
    pub rabbitmq_max_retries: u32,

    /// How long an event waits in the retry queue, in milliseconds
    #[arg(long, env = "RABBITMQ_RETRY_TTL_MS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=604_800_000), value_name = "MS")]
    pub rabbitmq_retry_ttl_ms: u32,
}

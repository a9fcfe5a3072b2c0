//! The consumer's settings.

use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, Args};
use service_kit::HostPort;
use service_kit::broker::BrokerArgs;
use service_kit::config::{duration, limit};
use service_kit::postgres::{DatabaseArgs, MigrateArgs};
use service_kit::process::ProcessArgs;

/// Settings of the `consumer` command.
#[derive(Debug, Clone, Args)]
pub struct ConsumerConfig {
    /// Where /livez, /readyz and /metrics are served
    #[arg(long, env = "OPS_ADDR", default_value = "127.0.0.1:9003", value_name = "HOST:PORT")]
    pub ops_addr: HostPort,

    /// Where the customers are.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// How long the database may take for one statement
    #[arg(long, env = "DATABASE_STATEMENT_TIMEOUT", default_value = "5s", value_parser = limit, value_name = "DURATION", help_heading = "PostgreSQL")]
    pub database_statement_timeout: Duration,

    /// How long it is remembered which events were counted; an event that comes again later counts twice. off: for ever
    #[arg(
        long,
        env = "PROCESSED_EVENTS_RETENTION",
        default_value = "90d",
        value_name = "DURATION",
        help_heading = "PostgreSQL"
    )]
    pub processed_events_retention: Retention,

    /// When the schema is brought up to date.
    #[command(flatten)]
    pub migrate: MigrateArgs,

    /// Where the events come from.
    #[command(flatten)]
    pub broker: BrokerArgs,

    /// How events are taken and retried.
    #[command(flatten)]
    pub subscription: SubscriptionArgs,

    /// What each process has.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// How long it is remembered which events were counted.
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
        // Without any memory each redelivery would count; beyond the longest time PostgreSQL's timestamps can't be counted back.
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

/// Settings of how events are taken and retried.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "RabbitMQ")]
pub struct SubscriptionArgs {
    /// Declare and bind the exchanges and queues; false: only check that they exist
    #[arg(long, env = "CONSUMER_DECLARE", action = ArgAction::Set, default_value_t = true, value_name = "BOOL")]
    pub consumer_declare: bool,

    /// How many messages may be on their way to this process; of those that have arrived half of that are applied in one transaction
    #[arg(long, env = "CONSUMER_PREFETCH", default_value_t = 5000, value_parser = clap::value_parser!(u16).range(1..), value_name = "N")]
    pub consumer_prefetch: u16,

    /// How many times an event is tried again after its first try, before it goes to the dead-letter queue
    #[arg(long, env = "RABBITMQ_MAX_RETRIES", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=1_000_000), value_name = "N")]
    pub rabbitmq_max_retries: u32,

    /// How long an event waits before it is tried again, in milliseconds
    #[arg(long, env = "RABBITMQ_RETRY_TTL_MS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=604_800_000), value_name = "MS")]
    pub rabbitmq_retry_ttl_ms: u32,
}

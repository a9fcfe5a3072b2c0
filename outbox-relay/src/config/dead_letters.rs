//! Settings of the desk: where dead letters are kept, how they are collected, and for how long.

use std::str::FromStr;
use std::time::Duration;

use amqp::BrokerArgs;
use clap::Args;
use service_kit::HostPort;
use service_kit::config::{duration_between, limit, read_file};
use service_kit::postgres::DatabaseUrl;
use service_kit::process::ProcessArgs;

/// The database that has the tables of the desk.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "PostgreSQL")]
pub(crate) struct DeskDatabaseArgs {
    /// The database with the table dead_letters; without it, DATABASE_URL is taken
    #[arg(
        long,
        env = "DEAD_LETTERS_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        required_unless_present_any = ["dead_letters_database_url_file", "database_url", "database_url_file"]
    )]
    dead_letters_database_url: Option<DatabaseUrl>,

    /// A file that holds `DEAD_LETTERS_DATABASE_URL`
    #[arg(long, env = "DEAD_LETTERS_DATABASE_URL_FILE", value_name = "FILE", value_parser = read_file::<DatabaseUrl>, conflicts_with = "dead_letters_database_url")]
    dead_letters_database_url_file: Option<DatabaseUrl>,

    /// The database, if DEAD_LETTERS_DATABASE_URL is not set
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<DatabaseUrl>,

    /// A file that holds `DATABASE_URL`
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE", value_parser = read_file::<DatabaseUrl>, conflicts_with = "database_url")]
    database_url_file: Option<DatabaseUrl>,
}

impl DeskDatabaseArgs {
    /// The URL, whichever way it was given.
    pub(crate) fn url(&self) -> &DatabaseUrl {
        self.dead_letters_database_url
            .as_ref()
            .or(self.dead_letters_database_url_file.as_ref())
            .or(self.database_url.as_ref())
            .or(self.database_url_file.as_ref())
            .expect("clap requires one of the four")
    }
}

/// Settings of `dead-letters collect`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CollectorConfig {
    /// Where the rows go.
    #[command(flatten)]
    pub(crate) database: DeskDatabaseArgs,
    /// Where the messages are.
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
    /// Which messages, and what is read from them.
    #[command(flatten)]
    pub(crate) collect: CollectorArgs,
    /// How long settled rows are kept; at least 1m; off: for ever. Only with --follow
    #[arg(
        long,
        env = "DEAD_LETTERS_RETENTION",
        default_value = "off",
        value_name = "DURATION",
        help_heading = "Dead letters"
    )]
    pub(crate) dead_letters_retention: DeadLetterRetention,
    /// Where /livez, /readyz and /metrics answer with --follow; port 0 takes a free one
    #[arg(long, env = "OPS_ADDR", default_value = "127.0.0.1:9004", value_name = "HOST:PORT")]
    pub(crate) ops_addr: HostPort,
    /// What each process has.
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
}

/// Which messages are collected, and what is read from them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Dead letters")]
pub(crate) struct CollectorArgs {
    /// The dead-letter queue
    #[arg(long, env = "DEAD_LETTERS_QUEUE", value_name = "QUEUE", value_parser = queue_name)]
    pub(crate) queue: String,

    /// The queue that the messages go back to. Without it, the one that their headers name, or else
    /// the dead-letter queue's name without .dlq, .dead, .dead-letter, _error, or -dlq
    #[arg(long, env = "DEAD_LETTERS_RETURN_TO", value_name = "QUEUE", value_parser = queue_name)]
    pub(crate) return_to: Option<String>,

    /// A header in which the consumer says why, before the known ones
    #[arg(long, env = "DEAD_LETTERS_REASON_HEADER", value_name = "NAME")]
    pub(crate) reason_header: Option<String>,

    /// A header in which the consumer counts its tries, before the known ones
    #[arg(long, env = "DEAD_LETTERS_TRIES_HEADER", value_name = "NAME")]
    pub(crate) tries_header: Option<String>,

    /// Prefetch limit; up to a quarter of it is stored in one transaction
    #[arg(long, env = "DEAD_LETTERS_PREFETCH", default_value_t = 2000, value_parser = clap::value_parser!(u16).range(2..), value_name = "N")]
    pub(crate) prefetch: u16,

    /// How long the database may take for one statement
    #[arg(long, env = "DEAD_LETTERS_STATEMENT_TIMEOUT", default_value = "30s", value_parser = limit, value_name = "DURATION")]
    pub(crate) statement_timeout: Duration,
}

/// A `value_parser` for the name of a queue.
fn queue_name(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("it must not be empty".to_owned()),
        256.. => Err("it must not be longer than 255 bytes, as AMQP allows no more".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// How long rows of returned and discarded dead letters are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeadLetterRetention {
    /// For this long.
    For(Duration),
    /// For ever.
    Unlimited,
}

/// A message that dies again soon finds its earlier row.
const SHORTEST: Duration = Duration::from_mins(1);

/// What PostgreSQL's timestamps can be counted back by.
const LONGEST: Duration = Duration::from_hours(24 * 365 * 1000);

impl FromStr for DeadLetterRetention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Unlimited),
            _ => duration_between(SHORTEST, LONGEST)(text)
                .map(Self::For)
                .map_err(|error| format!("{error}; off keeps them for ever")),
        }
    }
}

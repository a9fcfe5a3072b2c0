//! Settings of the commands that the console runs.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::str::FromStr;

use amqp::BrokerUrl;
use clap::Args;
use service_kit::postgres::DatabaseUrl;

use crate::commands::check_inboxes;
use crate::database::OutboxTable;

/// Settings of the commands that the console runs. Those that are not listed, such as RELAY_*, they
/// read from the environment of the console.
#[derive(Debug, Clone, Args)]
pub(super) struct PassedOnArgs {
    /// The database of the outbox. The login should be a NOINHERIT member of outbox_viewer,
    /// outbox_operator and outbox_admin, one of which each command takes
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "PostgreSQL",
        required_unless_present = "database_url_file"
    )]
    pub(super) database_url: Option<CheckedText<DatabaseUrl>>,

    /// A file that holds `DATABASE_URL`
    #[arg(
        long,
        env = "DATABASE_URL_FILE",
        value_name = "FILE",
        help_heading = "PostgreSQL",
        conflicts_with = "database_url"
    )]
    pub(super) database_url_file: Option<PathBuf>,

    /// The database with the table dead_letters; without it there are no pages of dead letters. The
    /// login should be a NOINHERIT member of the dead_letters_ roles
    #[arg(
        long,
        env = "DEAD_LETTERS_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "PostgreSQL"
    )]
    pub(super) dead_letters_database_url: Option<CheckedText<DatabaseUrl>>,

    /// A file that holds `DEAD_LETTERS_DATABASE_URL`
    #[arg(
        long,
        env = "DEAD_LETTERS_DATABASE_URL_FILE",
        value_name = "FILE",
        help_heading = "PostgreSQL",
        conflicts_with = "dead_letters_database_url"
    )]
    pub(super) dead_letters_database_url_file: Option<PathBuf>,

    /// A file that names the consumers' inbox tables: docs/desk.md has an example
    #[arg(
        long,
        env = "OUTBOX_INBOXES",
        value_name = "FILE",
        value_parser = inboxes_file,
        help_heading = "Consumers"
    )]
    pub(super) inboxes: Option<PathBuf>,

    /// The outbox's table; with its schema if that is not on the search path
    #[arg(
        long,
        env = "OUTBOX_TABLE",
        default_value = "outbox",
        value_name = "NAME",
        help_heading = "Outbox"
    )]
    pub(super) outbox_table: CheckedText<OutboxTable>,

    /// RabbitMQ, to which replay and return publish; without it both are refused
    #[arg(
        long,
        env = "RABBITMQ_URL",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "RabbitMQ"
    )]
    pub(super) rabbitmq_url: Option<CheckedText<BrokerUrl>>,

    /// A file that holds `RABBITMQ_URL`
    #[arg(
        long,
        env = "RABBITMQ_URL_FILE",
        value_name = "FILE",
        help_heading = "RabbitMQ",
        conflicts_with = "rabbitmq_url"
    )]
    pub(super) rabbitmq_url_file: Option<PathBuf>,
}

/// A `value_parser` for the path of a file that names inboxes.
fn inboxes_file(path: &str) -> Result<PathBuf, String> {
    check_inboxes(path)?;
    Ok(path.into())
}

/// The text of a setting that a `T` can be read from. Its `Debug` shows nothing, as it may hold a
/// password.
#[derive(Clone)]
pub(super) struct CheckedText<T> {
    pub(super) text: String,
    /// Only checked.
    _value: PhantomData<fn() -> T>,
}

impl<T: FromStr> FromStr for CheckedText<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        T::from_str(text)?;
        Ok(Self { text: text.to_owned(), _value: PhantomData })
    }
}

impl<T> fmt::Debug for CheckedText<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckedText")
    }
}

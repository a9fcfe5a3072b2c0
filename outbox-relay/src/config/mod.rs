//! Settings.

mod dead_letters;
mod relay;
mod retention;

use amqp::BrokerArgs;
use clap::Args;
use service_kit::HostPort;
use service_kit::postgres::DatabaseArgs;
use service_kit::process::ProcessArgs;

use crate::database::OutboxTable;

pub(crate) use dead_letters::{
    CollectorArgs, CollectorConfig, DeadLetterRetention, DeskDatabaseArgs,
};
pub(crate) use relay::{Envelope, Name, Ordering, RelayArgs, WhenStuck};
pub(crate) use retention::{AuditRetention, AuditRetentionArgs, Retention, RetentionArgs};

/// Settings of `outbox-relay run`.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where the outbox is.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Where the messages go.
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// Which table it is.
    #[command(flatten)]
    pub outbox: OutboxArgs,
    /// How long it keeps what is published.
    #[command(flatten)]
    pub retention: RetentionArgs,
    /// How long it keeps what people did.
    #[command(flatten)]
    pub audit_retention: AuditRetentionArgs,
    /// How messages go there.
    #[command(flatten)]
    pub relay: RelayArgs,
    /// Where /livez, /readyz and /metrics answer; port 0 takes a free one
    #[arg(long, env = "OPS_ADDR", default_value = "127.0.0.1:9001", value_name = "HOST:PORT")]
    pub ops_addr: HostPort,
    /// What each process has.
    #[command(flatten)]
    pub process: ProcessArgs,
}

impl Config {
    /// Whether the events behind one that is stuck wait.
    pub(crate) fn stuck_holds(&self) -> bool {
        self.relay.relay_when_stuck == WhenStuck::Hold
    }
}

/// Where the outbox is in the database.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Outbox")]
pub struct OutboxArgs {
    /// The outbox's table; with its schema if that is not on the search path, as in shop.outbox
    #[arg(long, env = "OUTBOX_TABLE", default_value = "outbox", value_name = "NAME")]
    pub outbox_table: OutboxTable,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use service_kit::config::{SettingsError, try_parse_from};

    use super::*;
    use crate::cli::{Cli, with_default_command};

    /// Settings that hold the URLs: the service of the Debian package reads them from files.
    const URL_SETTINGS: [&str; 4] =
        ["DATABASE_URL", "DATABASE_URL_FILE", "RABBITMQ_URL", "RABBITMQ_URL_FILE"];

    #[test]
    fn the_debian_package_lists_every_setting_with_its_default() {
        let file = include_str!("../../../deploy/debian/outbox-relay.default");
        let mut listed: Vec<&str> = file.lines().filter(|line| line.contains('=')).collect();
        let program = Cli::command();
        let run = program.find_subcommand("run").expect("a command");
        let mut expected = Vec::new();
        for arg in run.get_arguments() {
            let Some(variable) = arg.get_env().and_then(|name| name.to_str()) else { continue };
            if !URL_SETTINGS.contains(&variable) {
                let default = arg.get_default_values().first().and_then(|value| value.to_str());
                expected.push(format!("#{variable}={}", default.unwrap_or_default()));
            }
        }
        listed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(listed, expected);
    }

    const URLS: [&str; 4] = ["--database-url", "postgres://u@h/d", "--rabbitmq-url", "amqp://h"];

    fn parse(before: &[&str], after: &[&str]) -> Result<Config, String> {
        let args = [&["outbox-relay"], before, &URLS, after].concat();
        match try_parse_from::<Cli>(with_default_command(args.iter().map(Into::into).collect())) {
            Ok(cli) => cli.into_config(),
            Err(SettingsError::Setting(sentence)) => Err(sentence),
            Err(SettingsError::Clap(error)) => Err(error.to_string()),
        }
    }

    #[test]
    fn run_is_what_happens_without_a_command() {
        for before in [&[][..], &["run"]] {
            let config = parse(before, &["--relay-window", "7"]).expect("good settings");
            assert_eq!(config.relay.relay_window, 7);
            assert_eq!(config.relay.relay_exchange.as_str(), "orders.events");
            assert_eq!(config.ops_addr.port(), 9001);
        }
    }

    #[test]
    fn exchanges_are_separated_by_commas() {
        let cases: [(&str, &[&str]); 4] =
            [("", &[]), (" ", &[]), ("a", &["a"]), ("a, b c ,d", &["a", "b c", "d"])];
        for (value, expected) in cases {
            let config = parse(&["run"], &["--relay-exchanges", value]).expect(value);
            let names = config.relay.further_exchanges().iter().map(Name::as_str);
            assert_eq!(names.collect::<Vec<_>>(), expected, "{value:?}");
        }
        let config = parse(&["run"], &[]).expect("good settings");
        assert!(config.relay.further_exchanges().is_empty());
    }

    #[test]
    fn a_wrong_setting_is_named() {
        let long = "x".repeat(256);
        for (flag, value, variable) in [
            ("--relay-window", "0", "RELAY_WINDOW"),
            ("--relay-ordering", "loose", "RELAY_ORDERING"),
            ("--outbox-table", "a b", "OUTBOX_TABLE"),
            ("--outbox-retention", "soon", "OUTBOX_RETENTION"),
            ("--outbox-audit-retention", "59s", "OUTBOX_AUDIT_RETENTION"),
            ("--relay-envelope", "xml", "RELAY_ENVELOPE"),
            ("--relay-poll-min", "0s", "RELAY_POLL_MIN"),
            ("--relay-poll-min", "200ms", "RELAY_POLL_MIN"),
            ("--relay-backoff-min", "6m", "RELAY_BACKOFF_MIN"),
            ("--relay-exchange", "", "RELAY_EXCHANGE"),
            ("--relay-exchanges", "billing,,audit", "RELAY_EXCHANGES"),
            ("--relay-exchanges", &long, "RELAY_EXCHANGES"),
            ("--relay-app-id", &long, "RELAY_APP_ID"),
            ("--relay-declare", "maybe", "RELAY_DECLARE"),
        ] {
            for before in [&[][..], &["run"]] {
                let sentence = parse(before, &[flag, value]).expect_err(flag);
                assert!(sentence.starts_with(variable), "{flag}: {sentence}");
            }
        }
    }
}

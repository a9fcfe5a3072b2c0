//! `consumer check`: whether a consumer can work here.
//!
//! | file | what it checks |
//! |---|---|
//! | `database` | the database is reachable and writable; its tables, and the role's privileges |
//! | `broker` | the broker is reachable; exchanges and queues exist with the right arguments |
//! | `permissions` | the broker's user has the permissions of a consumer |
//! | `backlog` | messages in the dead-letter and the retry queue |
//! | `report` | the results, as text and as JSON |

mod backlog;
mod broker;
mod database;
mod permissions;
mod report;

use std::process::ExitCode;

use amqp::BrokerArgs;
use clap::Args;
use serde::Serialize;
use service_kit::postgres::DatabaseArgs;

use super::config::{Retention, SubscriptionArgs};
use super::terminal;
use report::{CheckResult, State};

/// Arguments of `consumer check`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "It changes nothing; the first message of the retry queue is read and put back. The exit status is 1 when a \
consumer can't work, and 0 when it can, with or without warnings."
)]
pub struct CheckArgs {
    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    database: DatabaseArgs,

    /// How long the ids of counted events are kept; off: for ever, and the role does not need the
    /// privilege to delete them
    #[arg(
        long,
        env = "PROCESSED_EVENTS_RETENTION",
        default_value = "90d",
        value_name = "DURATION",
        help_heading = "PostgreSQL"
    )]
    processed_events_retention: Retention,

    #[command(flatten)]
    broker: BrokerArgs,

    #[command(flatten)]
    subscription: SubscriptionArgs,
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    checks: &'a [CheckResult],
}

impl CheckArgs {
    /// Runs the checks and prints their results.
    #[must_use]
    pub fn run(self) -> ExitCode {
        terminal::run_command(self.check())
    }

    async fn check(self) -> Result<ExitCode, String> {
        let prunes = self.processed_events_retention != Retention::Unlimited;
        let mut checks = database::check(self.database.url(), prunes).await;
        checks.extend(broker::check(self.broker.url(), &self.subscription).await);
        let can_work = report::worst(&checks) < State::Fail;
        if self.json {
            let report = Report { ok: can_work, checks: &checks };
            let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
            terminal::print_json(&text)?;
        } else {
            terminal::print_text(&report::text(&checks))?;
        }
        Ok(if can_work { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

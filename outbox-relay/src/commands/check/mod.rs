//! `check`: finds out whether a relay could work here.
//!
//! | module | what it checks |
//! |---|---|
//! | `server` | the database can be reached, is recent enough and accepts writes |
//! | `pooler` | all statements of a session reach the same server process |
//! | `settings` | which settings of the database or the role have no effect |
//! | `table`, `columns`, `views`, `indexes`, `sequence` | the tables and views are as in `sql/outbox/schema.sql` |
//! | `privileges` | the role's privileges |
//! | `broker` | the broker can be reached |
//! | `exchange` | the relay may write to it |
//! | `limits` | enough connections and channels can be opened |
//!
//! `expected` reads the schema, `queries` has the statements, `report` the results.

mod broker;
mod columns;
mod exchange;
mod expected;
mod indexes;
mod limits;
mod pooler;
mod privileges;
mod queries;
mod report;
mod sequence;
mod server;
mod settings;
mod table;
mod views;

use std::iter;

use amqp::BrokerArgs;
use clap::Args;
use serde::Serialize;

use super::args::ConnectionArgs;
use super::outcome::Outcome;
use super::output;
use super::session::Access;
use crate::config::{AuditRetention, AuditRetentionArgs, RelayArgs, Retention, RetentionArgs};
use queries::Deletes;
use report::{Check, Finding};

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outbox-relay check")]
pub struct CheckArgs {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    retention: RetentionArgs,
    #[command(flatten)]
    audit_retention: AuditRetentionArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    relay: RelayArgs,
}

#[derive(Serialize)]
struct CheckReport<'a> {
    #[serde(rename = "well")]
    ok: bool,
    checks: &'a [Check],
}

impl CheckArgs {
    pub(in crate::commands) async fn run(self) -> anyhow::Result<Outcome> {
        let mut checks = self.database().await;
        checks.extend(broker::check(self.broker.url(), &self.relay).await);
        let findings: usize = checks.iter().map(|check| check.findings.len()).sum();
        if self.json {
            output::json(&CheckReport { ok: findings == 0, checks: &checks })?;
        } else {
            output::text(&report::render(&checks, findings))?;
        }
        Ok(if findings == 0 { Outcome::Ok } else { Outcome::Problems })
    }

    async fn database(&self) -> Vec<Check> {
        const TABLE_CHECKS: [&str; 8] = [
            table::OUTBOX,
            table::AUDIT,
            table::UNSETTLED,
            table::PAUSES,
            views::CHECK,
            "sequence",
            "indexes",
            "privileges",
        ];
        // The other checks would fail for the same reason.
        let skip_others = |failed: Check| {
            let first = [pooler::CHECK, settings::CHECK];
            let skipped = first.into_iter().chain(TABLE_CHECKS).map(Check::skipped);
            iter::once(failed).chain(skipped).collect()
        };
        // First, as a pool may have no more connections than this check takes.
        let pooler = pooler::check(self.connection.database.url()).await;
        let session = match self.connection.connect("check", Access::ReadPrimary).await {
            Ok(session) => session,
            Err(error) => {
                let unreachable =
                    Finding::new(format!("{error:#}"), server::CONNECT_FIX.to_owned());
                return skip_others(Check::failed("database", unreachable));
            }
        };
        let mut checks = match server::check(&session).await {
            Ok(server) => vec![server],
            Err(failed) => return skip_others(failed),
        };
        checks.push(pooler.unwrap_or_else(|error| Check::from_error(pooler::CHECK, &error)));
        checks.push(settings::check(&session).await);
        let table = match table::find(&session).await {
            Ok(table) => table,
            Err(check) => {
                checks.push(check);
                checks.extend(TABLE_CHECKS[1..].iter().map(|name| Check::skipped(name)));
                return checks;
            }
        };
        let deletes = Deletes {
            events: self.retention.outbox_retention != Retention::Unlimited,
            audit: self.audit_retention.outbox_audit_retention != AuditRetention::Unlimited,
        };
        let columns = table::check(&session, &table).await;
        // A wrong column may be the only cause of what the others would find.
        let columns_ok = columns.findings.is_empty();
        checks.push(columns);
        checks.push(table::check_audit(&session, &table).await);
        checks.push(table::check_unsettled(&session).await);
        checks.push(table::check_pauses(&session).await);
        if columns_ok {
            checks.push(views::check(&session, &table).await);
            checks.push(sequence::check(&session, &table).await);
            checks.push(indexes::check(&session, &table).await);
            checks.push(privileges::check(&session, &table, deletes).await);
        } else {
            checks.extend(TABLE_CHECKS[4..].iter().map(|name| Check::skipped(name)));
        }
        checks
    }
}

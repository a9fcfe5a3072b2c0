//! `check`: whether a relay could work here.
//!
//! | module | what it looks at |
//! |---|---|
//! | `server` | the database: reachable, recent enough, writable |
//! | `pooler` | whether all statements of a session reach the same server process |
//! | `settings` | what is set for the database or the role |
//! | `table` with `columns`, `indexes`, `sequence` | whether the outbox is as `sql/outbox/schema.sql` makes it (`expected`) |
//! | `unsettled` | the table for events that can't be settled |
//! | `privileges` | whether the role may do what a relay does |
//! | `broker` | the broker: reachable, `exchange` there and written to, `limits` on connections and channels |

mod broker;
mod columns;
mod exchange;
mod expected;
mod finding;
mod indexes;
mod limits;
mod pooler;
mod privileges;
mod queries;
mod sequence;
mod server;
mod settings;
mod table;
mod unsettled;

use std::iter;

use amqp::BrokerArgs;
use clap::Args;
use serde::Serialize;

use super::session::Purpose;
use super::target::Target;
use super::{End, print};
use crate::config::{RelayArgs, Retention, RetentionArgs};
use finding::{Check, Finding};

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "It changes nothing. The exit status is 1 when something is wrong.")]
pub struct CheckArgs {
    /// One JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    retention: RetentionArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    relay: RelayArgs,
}

#[derive(Serialize)]
struct Document<'a> {
    well: bool,
    checks: &'a [Check],
}

impl CheckArgs {
    pub(in crate::commands) async fn run(self) -> anyhow::Result<End> {
        let mut checks = self.database().await;
        checks.extend(broker::check(self.broker.url(), &self.relay).await);
        let findings: usize = checks.iter().map(|check| check.findings.len()).sum();
        if self.json {
            print::document(&Document { well: findings == 0, checks: &checks })?;
        } else {
            print::text(&finding::page(&checks, findings))?;
        }
        Ok(if findings == 0 { End::Well } else { End::Findings })
    }

    async fn database(&self) -> Vec<Check> {
        const OF_THE_TABLE: [&str; 6] =
            ["table", "audit table", unsettled::CHECK, "sequence", "indexes", "privileges"];
        // What else is wrong then has the same cause, or is seen when that is mended.
        let only = |wrong: Check| {
            let first = [pooler::CHECK, settings::CHECK];
            let skipped = first.into_iter().chain(OF_THE_TABLE).map(Check::skipped);
            iter::once(wrong).chain(skipped).collect()
        };
        // First, as a pool may have no more than the connections that this takes.
        let pooler = pooler::check(self.target.database.url()).await;
        let session = match self.target.connect("check", Purpose::Check).await {
            Ok(session) => session,
            Err(error) => {
                let unreached = Finding::new(format!("{error:#}"), server::REACH.to_owned());
                return only(Check::wrong("database", unreached));
            }
        };
        let mut checks = match server::check(&session).await {
            Ok(server) => vec![server],
            Err(failed) => return only(failed),
        };
        checks.push(pooler.unwrap_or_else(|error| Check::failed(pooler::CHECK, &error)));
        checks.push(settings::check(&session).await);
        let table = match table::find(&session).await {
            Ok(table) => table,
            Err(check) => {
                checks.push(check);
                checks.extend(OF_THE_TABLE[1..].iter().map(|name| Check::skipped(name)));
                return checks;
            }
        };
        let prunes = self.retention.outbox_retention != Retention::Unlimited;
        let columns = table::check(&session, &table).await;
        // What there is to say of the rest may be due to a wrong column alone.
        let right = columns.findings.is_empty();
        checks.push(columns);
        checks.push(table::check_audit(&session, &table).await);
        checks.push(unsettled::check(&session).await);
        if right {
            checks.push(sequence::check(&session, &table).await);
            checks.push(indexes::check(&session, &table).await);
            checks.push(privileges::check(&session, &table, prunes).await);
        } else {
            checks.extend(OF_THE_TABLE[3..].iter().map(|name| Check::skipped(name)));
        }
        checks
    }
}

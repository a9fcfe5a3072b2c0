//! Which rows of an audit table a command lists.

use clap::Args;
use uuid::Uuid;

use super::TimeArg;
use crate::commands::queries::AuditFilter;
use crate::commands::session::{Session, Tables};

/// Arguments that select what people did, in the outbox or at the desk.
#[derive(Debug, Clone, Args)]
pub(in crate::commands) struct AuditFilterArgs {
    /// Only what this person did
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only what the command with this operation did
    #[arg(long, value_name = "UUID")]
    operation: Option<Uuid>,
    /// Only what was done since this time: an age (90m, 7d) or a date (2026-02-01T22:25:31Z)
    #[arg(long, value_name = "WHEN")]
    since: Option<TimeArg>,
    /// Only what was done before this time
    #[arg(long, value_name = "WHEN")]
    until: Option<TimeArg>,
}

impl AuditFilterArgs {
    /// The conditions, with one on the action.
    pub(in crate::commands) async fn filter<T: Tables>(
        self,
        action: Option<String>,
        session: &Session<T>,
    ) -> anyhow::Result<AuditFilter> {
        let Self { actor, operation, since, until } = self;
        Ok(AuditFilter {
            actor,
            action,
            operation_id: operation,
            since: TimeArg::resolve_optional(since, session).await?,
            until: TimeArg::resolve_optional(until, session).await?,
        })
    }
}

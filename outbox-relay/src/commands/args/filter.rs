//! Which events a command is about.

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::TimeArg;
use crate::cause::ErrorKind;
use crate::commands::queries::Filter;
use crate::commands::session::Session;

/// Arguments that select events by what they are and why they failed.
#[derive(Debug, Clone, Args)]
pub(in crate::commands) struct FilterArgs {
    /// Only events with this aggregate_id
    #[arg(long, value_name = "ID")]
    pub(in crate::commands) aggregate: Option<String>,
    /// Only events of aggregates of this type, such as order
    #[arg(long, value_name = "TYPE")]
    aggregate_type: Option<String>,
    /// Only events of this type, such as order.created
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only events that failed with this cause, as `failures` shows it: 16 hexadecimal digits
    #[arg(long, value_name = "CAUSE", value_parser = fingerprint)]
    fingerprint: Option<String>,
    /// Only events that failed in this way
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(ErrorKind::STORED.map(ErrorKind::text)))]
    kind: Option<String>,
    /// Only events whose last error contains this text, in upper or lower case
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
}

/// Arguments that select events by when they were created.
#[derive(Debug, Clone, Copy, Args)]
pub(in crate::commands) struct CreatedArgs {
    /// Only events created since this time: an age (90m, 7d) or a date (2026-02-01T22:25:31Z)
    #[arg(long, value_name = "WHEN")]
    since: Option<TimeArg>,
    /// Only events created before this time
    #[arg(long, value_name = "WHEN")]
    until: Option<TimeArg>,
}

impl FilterArgs {
    /// The conditions. Fails if they are about causes and the outbox has no columns for these.
    pub(in crate::commands) fn filter(&self, session: &Session) -> anyhow::Result<Filter> {
        let Self { aggregate, aggregate_type, event_type, fingerprint, kind, error } = self.clone();
        let kind = kind.as_deref().and_then(ErrorKind::read).map(ErrorKind::text);
        let filter = Filter {
            aggregate,
            aggregate_type,
            event_type,
            kind,
            fingerprint,
            error,
            ..Filter::default()
        };
        if filter.names_cause() {
            session.require_causes()?;
        }
        Ok(filter)
    }
}

impl CreatedArgs {
    /// Adds the conditions to `filter`.
    pub(in crate::commands) async fn add_to(
        self,
        filter: Filter,
        session: &Session,
    ) -> anyhow::Result<Filter> {
        let since = TimeArg::resolve_optional(self.since, session).await?;
        let until = TimeArg::resolve_optional(self.until, session).await?;
        Ok(Filter { since, until, ..filter })
    }
}

/// A `value_parser` for a fingerprint as `failures` prints it.
pub(in crate::commands) fn fingerprint(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    if text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(text);
    }
    Err("it must be 16 hexadecimal digits, as `failures` and `dead-letters groups` print them"
        .to_owned())
}

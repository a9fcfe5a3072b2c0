//! Arguments that several commands about dead letters share.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{ArgGroup, Args};
use serde::Serialize;
use service_kit::config::limit;

use super::tables::{DeskTables, Session};
use crate::commands::args::{ExpectArgs, TimeArg, fingerprint, single_line};
use crate::commands::session::{Access, Limits};
use crate::config::DeskDatabaseArgs;

/// Arguments of the connection to the desk's database.
#[derive(Debug, Clone, Args)]
pub(super) struct DeskArgs {
    #[command(flatten)]
    database: DeskDatabaseArgs,
    /// How long a statement may take
    #[arg(
        long,
        value_parser = limit,
        default_value = "30s",
        value_name = "DURATION",
        help_heading = "PostgreSQL"
    )]
    timeout: Duration,
    /// A role whose rights each transaction takes, as with SET LOCAL ROLE; the login must be a
    /// member of it
    #[arg(long, env = "DEAD_LETTERS_ROLE", value_parser = single_line, value_name = "ROLE", help_heading = "PostgreSQL")]
    role: Option<String>,
}

impl DeskArgs {
    /// Connects for the command `name`.
    pub(super) async fn open(&self, name: &str, access: Access) -> anyhow::Result<Session> {
        let limits = Limits { statement: self.timeout, role: self.role.clone() };
        Session::open_on(DeskTables, self.database.url(), limits, name, access).await
    }
}

/// The values of `error_kind`.
pub(super) const KINDS: [&str; 6] =
    ["failed", "rejected", "expired", "maxlen", "delivery_limit", "unknown"];

/// Arguments that select dead letters by what they are and why they died.
#[derive(Debug, Clone, Args)]
pub(super) struct LetterFilterArgs {
    /// Only those from this dead-letter queue
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Only those with this cause, as `groups` shows it: 16 hexadecimal digits
    #[arg(long, value_name = "CAUSE", value_parser = fingerprint)]
    fingerprint: Option<String>,
    /// Only those that died in this way
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(KINDS))]
    kind: Option<String>,
    /// Only messages of this type, such as order.created
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only those whose reason contains this text, in upper or lower case
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Only those with this property message_id
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// Only those collected since this time: an age (90m, 7d) or a date (2026-02-01T22:25:31Z)
    #[arg(long, value_name = "WHEN")]
    since: Option<TimeArg>,
    /// Only those collected before this time
    #[arg(long, value_name = "WHEN")]
    until: Option<TimeArg>,
}

/// Conditions on dead letters; `None` matches all. The statements take them as one JSON object
/// whose values are strings (`sql/dead-letters/fragments/matches_*.sql`).
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct LetterFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "type")]
    pub(super) event_type: Option<String>,
    /// A part of the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_id: Option<String>,
    /// RFC 3339; collected at or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<String>,
    /// Collected before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) up_to_id: Option<i64>,
}

impl LetterFilter {
    /// Returns the conditions as the JSON parameter of the statements.
    pub(super) fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// Returns true if there is a condition on fingerprint, kind or type.
    pub(super) const fn names_cause(&self) -> bool {
        self.fingerprint.is_some() || self.kind.is_some() || self.event_type.is_some()
    }
}

impl LetterFilterArgs {
    /// The conditions.
    pub(super) async fn filter(&self, session: &Session) -> anyhow::Result<LetterFilter> {
        let Self { queue, fingerprint, kind, event_type, error, message_id, .. } = self.clone();
        let since = TimeArg::resolve_optional(self.since, session).await?;
        let until = TimeArg::resolve_optional(self.until, session).await?;
        let up_to_id = None;
        Ok(LetterFilter {
            queue,
            fingerprint,
            kind,
            event_type,
            error,
            message_id,
            since,
            until,
            up_to_id,
        })
    }
}

/// Arguments that say which dead letters are changed: some by their ids, or all that match.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["ID", "queue", "fingerprint", "kind", "event_type", "error", "message_id", "since", "until", "up_to_id"]))]
pub(super) struct WhichArgs {
    /// The id of each dead letter
    #[arg(value_name = "ID", id = "ID", conflicts_with_all = ["queue", "fingerprint", "kind", "event_type", "error", "message_id", "since", "until", "up_to_id", "expect"])]
    pub(super) ids: Vec<i64>,
    #[command(flatten)]
    pub(super) filter: LetterFilterArgs,
    #[command(flatten)]
    pub(super) expect: ExpectArgs,
}

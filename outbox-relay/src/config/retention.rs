//! How long published events are kept, and what people did to events.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use service_kit::config::{duration, duration_between};

/// How long published events are kept.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Outbox")]
pub struct RetentionArgs {
    /// How long published events are kept; 0: not at all; off: for ever
    #[arg(long, env = "OUTBOX_RETENTION", default_value = "7d", value_name = "DURATION")]
    pub outbox_retention: Retention,
}

/// How long published events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// They are deleted instead of being marked as published.
    None,
    /// For this long.
    For(Duration),
    /// For ever.
    Unlimited,
}

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Unlimited),
            "0" => Ok(Self::None),
            _ => match duration(text)? {
                Duration::ZERO => Ok(Self::None),
                // What PostgreSQL's timestamps can be counted back by.
                long if long > Duration::from_hours(24 * 365 * 1000) => {
                    Err("it must not be longer than 1000 years; off keeps events for ever"
                        .to_owned())
                }
                long => Ok(Self::For(long)),
            },
        }
    }
}

/// How long the audit table keeps what people did.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Outbox")]
pub struct AuditRetentionArgs {
    /// How long the audit table keeps what people did to events, with the copies of discarded ones;
    /// at least 1m; off: for ever
    #[arg(long, env = "OUTBOX_AUDIT_RETENTION", default_value = "off", value_name = "DURATION")]
    pub outbox_audit_retention: AuditRetention,
}

/// How long the audit table keeps what people did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditRetention {
    /// For this long.
    For(Duration),
    /// For ever.
    Unlimited,
}

/// Commands wait less for the relays to see an audit row.
const AUDIT_MIN: Duration = Duration::from_mins(1);

impl FromStr for AuditRetention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Unlimited),
            // What PostgreSQL's timestamps can be counted back by.
            _ => duration_between(AUDIT_MIN, Duration::from_hours(24 * 365 * 1000))(text)
                .map(Self::For)
                .map_err(|error| format!("{error}; off keeps audit rows for ever")),
        }
    }
}

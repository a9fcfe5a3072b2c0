//! How events are published.

use std::str::FromStr;
use std::time::Duration;

use amq_protocol::types::ShortString;
use clap::{ArgAction, Args, ValueEnum};
use service_kit::config::duration;

/// Settings of publishing.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Relay")]
pub struct RelayArgs {
    /// The exchange that events are published to; an event's type is its routing key
    #[arg(long, env = "RELAY_EXCHANGE", default_value = "orders.events", value_name = "NAME")]
    pub relay_exchange: Name,

    /// Further exchanges that a row may name in its header amqp-exchange, separated by commas. The
    /// relay does not declare them
    #[arg(long, env = "RELAY_EXCHANGES", value_name = "NAMES")]
    pub relay_exchanges: Option<Names>,

    /// Declare the exchange (topic, durable); false: only check that it exists
    #[arg(long, env = "RELAY_DECLARE", action = ArgAction::Set, default_value_t = true, value_name = "BOOL")]
    pub relay_declare: bool,

    /// How a message's body looks
    #[arg(long, env = "RELAY_ENVELOPE", value_enum, default_value = "default")]
    pub relay_envelope: Envelope,

    /// The `app_id` of messages, and the source of CloudEvents
    #[arg(long, env = "RELAY_APP_ID", default_value = "outbox-relay", value_name = "NAME")]
    pub relay_app_id: Name,

    /// Whether an aggregate's events are published one after the other
    #[arg(long, env = "RELAY_ORDERING", value_enum, default_value = "strict")]
    pub relay_ordering: Ordering,

    /// Messages that are sent before their confirms are awaited
    #[arg(long, env = "RELAY_WINDOW", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "N")]
    pub relay_window: u32,

    /// Windows in flight at the most, each on a channel of its own
    #[arg(long, env = "RELAY_CHANNELS", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64), value_name = "N")]
    pub relay_channels: u32,

    /// A payload that is longer, in bytes, is not loaded: its event is stuck
    #[arg(long, env = "RELAY_MAX_MESSAGE_BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u32).range(1..=(128 << 20)), value_name = "BYTES")]
    pub relay_max_message_bytes: u32,

    /// Wait between two scans for new events while events come in; after a quiet second it doubles
    /// up to RELAY_POLL_MAX
    #[arg(long, env = "RELAY_POLL_MIN", value_parser = pause, default_value = "5ms", value_name = "DURATION")]
    pub relay_poll_min: Duration,

    /// Longest wait between two scans for new events
    #[arg(long, env = "RELAY_POLL_MAX", value_parser = pause, default_value = "100ms", value_name = "DURATION")]
    pub relay_poll_max: Duration,

    /// How long the broker may take to confirm a window; then its outcome is unknown and it is sent
    /// again
    #[arg(long, env = "RELAY_CONFIRM_TIMEOUT", value_parser = pause, default_value = "30s", value_name = "DURATION")]
    pub relay_confirm_timeout: Duration,

    /// Wait before an event that failed is tried again; each failure doubles it
    #[arg(long, env = "RELAY_BACKOFF_MIN", value_parser = pause, default_value = "1s", value_name = "DURATION")]
    pub relay_backoff_min: Duration,

    /// Longest wait before an event that failed is tried again
    #[arg(long, env = "RELAY_BACKOFF_MAX", value_parser = pause, default_value = "5m", value_name = "DURATION")]
    pub relay_backoff_max: Duration,

    /// After how many failed attempts an event is stuck; 0: never. One that the broker refuses
    /// three times in a row for what it is (its size, a header) is stuck in any case
    #[arg(
        long,
        env = "RELAY_MAX_ATTEMPTS",
        default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(0..=1_000_000),
        value_name = "N"
    )]
    pub relay_max_attempts: u32,

    /// What becomes of the events behind one that is stuck
    #[arg(long, env = "RELAY_WHEN_STUCK", value_enum, default_value = "hold")]
    pub relay_when_stuck: WhenStuck,
}

impl RelayArgs {
    /// `RELAY_EXCHANGES`.
    pub(crate) fn further_exchanges(&self) -> &[Name] {
        self.relay_exchanges.as_ref().map_or(&[], |Names(names)| names.as_slice())
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.relay_poll_min > self.relay_poll_max {
            return Err("RELAY_POLL_MIN is longer than RELAY_POLL_MAX".to_owned());
        }
        if self.relay_backoff_min > self.relay_backoff_max {
            return Err("RELAY_BACKOFF_MIN is longer than RELAY_BACKOFF_MAX".to_owned());
        }
        Ok(())
    }
}

/// Whether an aggregate's events are published one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ordering {
    /// The next one is sent when the one ahead of it is confirmed; one that fails holds back those
    /// behind it
    Strict,
    /// All are sent as they come, in no order
    None,
}

/// What becomes of the events behind one that is stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WhenStuck {
    /// They wait until a person has retried or discarded it
    Hold,
    /// They are published without it
    Skip,
}

/// How a message's body looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Envelope {
    /// {"event_id", "event", "occurred_at", "data"}, data being the payload
    Default,
    /// CloudEvents 1.0, structured JSON
    Cloudevents,
    /// The payload as it is
    None,
}

/// A name that AMQP can carry: 1 to 255 bytes, no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(ShortString);

impl Name {
    /// The name as AMQP sends it.
    #[must_use]
    pub fn short(&self) -> ShortString {
        self.0.clone()
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err("it must not be empty or hold control characters".to_owned());
        }
        ShortString::try_new(text).map(Self).map_err(|_| "it is longer than 255 bytes".to_owned())
    }
}

/// Names, separated by commas; none if the text is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(Vec<Name>);

impl FromStr for Names {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self(Vec::new()));
        }
        let names = text.split(',').map(|name| name.trim().parse::<Name>());
        let names = names.collect::<Result<Vec<_>, _>>();
        names.map(Self).map_err(|error| format!("a name of those between commas: {error}"))
    }
}

fn pause(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than zero".to_owned()),
        // A longer one is a mistake, and would overflow a deadline.
        long if long > Duration::from_hours(24 * 365) => {
            Err("it must not be longer than a year".to_owned())
        }
        pause => Ok(pause),
    }
}

//! A pause as `pause`, `resume`, `pauses` and `status` print it.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::{Deserialize, Serialize};

use super::output::duration_format::format_seconds;
use super::output::table::{Align, TextTable};
use crate::pauses::Pause;

/// Arguments that name what is paused.
#[derive(Debug, Clone, Args)]
pub(super) struct SelectorArgs {
    /// Events of this type, such as order.created
    #[arg(long = "type", value_name = "TYPE", value_parser = NonEmptyStringValueParser::new())]
    event_type: Option<String>,
    /// Events of aggregates of this type, such as order
    #[arg(long, value_name = "TYPE", value_parser = NonEmptyStringValueParser::new())]
    aggregate_type: Option<String>,
    /// Events with this aggregate_id
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    aggregate: Option<String>,
}

impl From<SelectorArgs> for Pause {
    fn from(SelectorArgs { event_type, aggregate_type, aggregate }: SelectorArgs) -> Self {
        Self { aggregate_type, aggregate_id: aggregate, event_type }
    }
}

/// An active pause.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ActivePause {
    pub(super) id: i64,
    pub(super) aggregate_type: Option<String>,
    pub(super) aggregate_id: Option<String>,
    pub(super) event_type: Option<String>,
    /// None: when a person ends it.
    pub(super) until: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) actor: String,
    pub(super) created_at: String,
    pub(super) age_seconds: f64,
}

impl ActivePause {
    /// Returns what is paused: `order.created events of order 7`.
    pub(super) fn what(&self) -> String {
        let events = match &self.event_type {
            Some(event_type) => format!("{event_type} events"),
            None => "all events".to_owned(),
        };
        match (&self.aggregate_type, &self.aggregate_id) {
            (None, None) => events,
            (Some(aggregate_type), None) => format!("{events} of {aggregate_type} aggregates"),
            (None, Some(id)) => format!("{events} of aggregates with the id {id}"),
            (Some(aggregate_type), Some(id)) => format!("{events} of {aggregate_type} {id}"),
        }
    }
}

/// Lays pauses out as a table.
pub(super) fn table(pauses: &[ActivePause]) -> String {
    let mut table = TextTable::new([
        ("ID", Align::Right),
        ("PAUSED", Align::Left),
        ("SINCE", Align::Left),
        ("AGE", Align::Right),
        ("UNTIL", Align::Left),
        ("BY", Align::Left),
        ("REASON", Align::Left),
    ]);
    for pause in pauses {
        table.add_row([
            &pause.id.to_string(),
            &pause.what(),
            &pause.created_at,
            &format_seconds(pause.age_seconds.max(0.0)),
            pause.until.as_deref().unwrap_or("resumed"),
            &pause.actor,
            pause.reason.as_deref().unwrap_or_default(),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_says_what_is_paused() {
        let what =
            |aggregate_type: Option<&str>, aggregate_id: Option<&str>, event_type: Option<&str>| {
                let [aggregate_type, aggregate_id, event_type] =
                    [aggregate_type, aggregate_id, event_type].map(|text| text.map(str::to_owned));
                let (actor, created_at) = (String::new(), String::new());
                let (until, reason, age_seconds) = (None, None, 0.0);
                ActivePause {
                    id: 1,
                    aggregate_type,
                    aggregate_id,
                    event_type,
                    until,
                    reason,
                    actor,
                    created_at,
                    age_seconds,
                }
                .what()
            };
        assert_eq!(what(None, None, None), "all events");
        assert_eq!(what(None, None, Some("order.created")), "order.created events");
        assert_eq!(what(Some("order"), None, None), "all events of order aggregates");
        assert_eq!(what(None, Some("7"), None), "all events of aggregates with the id 7");
        assert_eq!(what(Some("order"), Some("7"), Some("a.b")), "a.b events of order 7");
    }
}

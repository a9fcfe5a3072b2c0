//! The status as text.

use std::fmt::Write as _;

use super::snapshot::{Backlog, COUNT_LIMIT, Relay, Snapshot, Unsettled};
use crate::commands::event::{self, aggregate};
use crate::commands::output::duration_format::{age, format_seconds};
use crate::commands::output::table::{Align, TextTable};
use crate::commands::output::{BOLD, escape};
use crate::commands::paused;

/// How many event types are shown with their rate.
const TYPE_LIMIT: usize = 10;

/// Lays out the state of the outbox.
pub(super) fn render(snapshot: &Snapshot) -> String {
    let mut page = String::new();
    let mut field = |name: &str, value: &str| {
        // Writing to a string does not fail.
        let _infallible = writeln!(page, "{BOLD}{name:<9}{BOLD:#}{}", escape::line(value));
    };
    field("outbox", &snapshot.table);
    field("backlog", &backlog(&snapshot.backlog));
    if let Some(oldest) = &snapshot.backlog.oldest {
        field(
            "oldest",
            &format!(
                "{} old: {} of {}, {}",
                age(oldest.age_seconds),
                oldest.event_type,
                aggregate(&oldest.aggregate_type, &oldest.aggregate_id),
                oldest.event_id
            ),
        );
    }
    let rate = &snapshot.published_last_minute;
    let precision = match (rate.estimated, rate.at_least) {
        (true, _) => "about ",
        (false, true) => "at least ",
        (false, false) => "",
    };
    field("rate", &format!("{precision}{} published in the last minute", number(rate.events)));
    let (owned, relays) = (snapshot.lanes.owned, snapshot.relays.len());
    field(
        "lanes",
        &match relays {
            0 => "no relay is at work: start one with outbox-relay run".to_owned(),
            1 => format!("{owned} of {} owned by 1 relay", snapshot.lanes.of),
            _ => format!("{owned} of {} owned by {relays} relays", snapshot.lanes.of),
        },
    );
    for unsettled in &snapshot.unsettled {
        field("settling", &self::unsettled(unsettled));
    }
    if !rate.by_type.is_empty() {
        let mut table = TextTable::new([
            ("TYPE", Align::Left),
            ("LAST MINUTE", Align::Right),
            ("AVERAGE DELAY", Align::Right),
        ]);
        for of_type in rate.by_type.iter().take(TYPE_LIMIT) {
            let delay = of_type.average_delay_seconds.map_or_else(String::new, format_seconds);
            table.add_row([&of_type.event_type, &number(of_type.events), &delay]);
        }
        page.push_str(&format!("\n{}", table.render()));
    }
    if !snapshot.relays.is_empty() {
        page.push_str(&format!("\n{}", relay_table(&snapshot.relays)));
    }
    if !snapshot.pauses.is_empty() {
        page.push_str(&format!("\n{BOLD}Paused{BOLD:#} (see resume)\n"));
        page.push_str(&paused::table(&snapshot.pauses));
    }
    if !snapshot.stuck.is_empty() {
        page.push_str(&format!("\n{BOLD}Stuck{BOLD:#} (see retry and discard)\n"));
        page.push_str(&event::table(&snapshot.stuck));
        if usize::try_from(snapshot.backlog.stuck).is_ok_and(|stuck| stuck > snapshot.stuck.len()) {
            page.push_str("… (outbox-relay events --stuck lists more)\n");
        }
    }
    page
}

fn backlog(backlog: &Backlog) -> String {
    let Backlog { pending, waiting, scheduled, stuck, parked, .. } = backlog;
    let ready = (pending - waiting - scheduled - stuck - parked).max(0);
    let mut text = format!(
        "{} pending: {} ready, {} waiting for their next attempt, {} stuck",
        bounded(*pending),
        bounded(ready),
        bounded(*waiting),
        bounded(*stuck)
    );
    for (count, state) in [(*scheduled, "scheduled"), (*parked, "parked")] {
        if count > 0 {
            // Writing to a string does not fail.
            let _infallible = write!(text, ", {} {state}", bounded(count));
        }
    }
    text
}

fn unsettled(unsettled: &Unsettled) -> String {
    let Unsettled { outcome, kind, events, since, event_id, reason } = unsettled;
    let what = if outcome == "expired" {
        "can't be deleted at the end of their retention"
    } else {
        "are published and can't be marked"
    };
    let why = match (kind.as_str(), reason) {
        (_, Some(reason)) => reason.as_str(),
        ("locked", None) => "another session holds the row's lock",
        (_, None) => "the database refuses it",
    };
    format!("{} {what}, {event_id} since {since}: {why}", number(*events))
}

fn relay_table(relays: &[Relay]) -> String {
    let mut table = TextTable::new([
        ("PID", Align::Right),
        ("RELAY", Align::Left),
        ("FROM", Align::Left),
        ("CONNECTED", Align::Left),
        ("LANES", Align::Right),
        ("WHICH", Align::Left),
    ]);
    for relay in relays {
        table.add_row([
            &relay.pid.to_string(),
            relay.name.as_deref().unwrap_or_default(),
            relay.address.as_deref().unwrap_or_default(),
            relay.connected_at.as_deref().unwrap_or_default(),
            &relay.lanes.len().to_string(),
            &ranges(&relay.lanes),
        ]);
    }
    table.render()
}

/// Formats ascending numbers as ranges: `0-15,17`.
fn ranges(numbers: &[u8]) -> String {
    let mut ranges: Vec<(u8, u8)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if number == last.saturating_add(1) => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let texts: Vec<String> = ranges
        .into_iter()
        .map(
            |(first, last)| {
                if first == last { first.to_string() } else { format!("{first}-{last}") }
            },
        )
        .collect();
    texts.join(",")
}

/// Formats a number that is counted up to [`COUNT_LIMIT`].
fn bounded(count: i64) -> String {
    if count >= COUNT_LIMIT { format!("at least {}", number(count)) } else { number(count) }
}

/// Formats a number with commas between thousands.
fn number(count: i64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_shown_as_ranges() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[0, 1, 2, 5, 62, 63]), "0-2,5,62-63");
    }

    #[test]
    fn thousands_are_separated() {
        for (count, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(count), text);
        }
        assert_eq!(bounded(COUNT_LIMIT), "at least 100,000");
    }
}

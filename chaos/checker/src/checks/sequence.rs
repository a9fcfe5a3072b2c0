//! The order of an aggregate's events: first deliveries come as they were committed.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::Check;
use crate::history::History;

pub(super) fn checks(history: &History) -> Vec<Check> {
    let mut in_turn =
        Check::new("first deliveries of an aggregate come in the order of its commits");
    let mut seen = BTreeSet::new();
    // The latest row id of each aggregate that was delivered.
    let mut latest: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for message in &history.messages {
        if !seen.insert(message.message_id.as_str()) {
            continue;
        }
        let Some(event) = history.outbox.get(&message.message_id) else { continue };
        let Some(id) = event["id"].as_i64() else { continue };
        let aggregate = (
            event["aggregate_type"].as_str().unwrap_or_default(),
            event["aggregate_id"].as_str().unwrap_or_default(),
        );
        if let Some(before) = latest.insert(aggregate, id) {
            in_turn.examine(before < id, || {
                format!("{aggregate:?}: event {id} came after event {before}")
            });
        }
    }

    // Writers count in the row that they lock: the events of an aggregate are 1, 2, 3, …
    let mut gapless = Check::new("the events of an aggregate leave no gap");
    let mut numbers: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
    for event in history.outbox.values() {
        if let (Some("counter"), Some(aggregate), Some(id), Some(number)) = (
            event["aggregate_type"].as_str(),
            event["aggregate_id"].as_str(),
            event["id"].as_i64(),
            event["payload"]["n"].as_i64(),
        ) {
            numbers.entry(aggregate).or_default().push((id, number));
        }
    }
    for (aggregate, numbers) in &mut numbers {
        numbers.sort_unstable();
        for (place, (_, number)) in (1..).zip(&*numbers) {
            gapless.examine(*number == place, || format!("{aggregate}: {number} in place {place}"));
        }
    }
    vec![in_turn, gapless]
}

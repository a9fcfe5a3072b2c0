//! Effects: each event is counted once, and what can't be counted is a dead letter.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::Check;
use crate::checks::orders::customer;
use crate::history::{History, Message};

/// The queues that must be empty at the end.
const EMPTIED: [&str; 3] =
    ["customer.orders_count", "customer.orders_count.retry", "customer.orders_count.dlq"];

pub(super) fn checks(history: &History) -> Vec<Check> {
    let dead: BTreeSet<&str> =
        history.dead_letters.values().filter_map(|row| row["message_id"].as_str()).collect();
    // What the consumer counts, by the id of the event.
    let mut counted: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for message in history.messages.iter().filter(|message| message.key == "order.created") {
        if let Some(event_id) = event_id(message) {
            counted.insert(event_id, customer(&message.body["data"]));
        }
    }

    let mut effective =
        Check::new("an event that was published has its effect, or is a dead letter");
    for (event_id, customer) in &counted {
        let known = history.processed.contains_key(*event_id) || dead.contains(event_id);
        effective.examine(known, || format!("{event_id} of customer {customer:?}"));
    }
    let mut truthful = Check::new("an effect is of an event that was published");
    for event_id in history.processed.keys() {
        truthful.examine(counted.contains_key(event_id.as_str()), || event_id.clone());
    }
    let mut per_customer: BTreeMap<&str, i64> = BTreeMap::new();
    for (event_id, customer) in &counted {
        if let (Some(customer), true) = (customer, history.processed.contains_key(*event_id)) {
            *per_customer.entry(customer).or_default() += 1;
        }
    }
    let mut once = Check::new("a customer's count is the number of its events");
    for (id, row) in &history.customers {
        let expected = per_customer.get(id.as_str()).copied().unwrap_or_default();
        let count = row["orders_count"].as_i64();
        once.examine(count == Some(expected), || {
            format!("customer {id}: {count:?}, not {expected}")
        });
    }
    let mut poison = Check::new("what can't be processed is a dead letter with its reason");
    let with_reason =
        |row: &&serde_json::Value| row["reason"].as_str().is_some_and(|text| !text.is_empty());
    let reasons: BTreeSet<&str> = history
        .dead_letters
        .values()
        .filter(with_reason)
        .filter_map(|row| row["message_id"].as_str())
        .collect();
    for foreign in
        history.foreign.iter().filter(|foreign| foreign.kind == "poison" && foreign.confirmed)
    {
        let id = foreign.message_id.as_str();
        poison.examine(reasons.contains(id), || id.to_owned());
    }
    let mut emptied = Check::new("no message is left in the queues of the consumer");
    for queue in EMPTIED {
        let left = history.queues.get(queue);
        emptied.examine(left == Some(&0), || format!("{queue}: {left:?}"));
    }
    vec![effective, truthful, once, poison, emptied]
}

/// The id that consumers know an event by.
fn event_id(message: &Message) -> Option<&str> {
    message.body["event_id"].as_str()
}

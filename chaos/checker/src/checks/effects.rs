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
    // What the consumer counts, by the id of the event, and for whom. Poison lacks one of both.
    let mut counted: BTreeMap<&str, &str> = BTreeMap::new();
    for message in history.messages.iter().filter(|message| message.key == "order.created") {
        if let (Some(event_id), Some(customer)) =
            (event_id(message), customer(&message.body["data"]))
        {
            counted.insert(event_id, customer);
        }
    }

    // The queues of a message that was not confirmed need not agree, and nobody sends it again.
    let unconfirmed = history.foreign.iter().filter(|foreign| !foreign.confirmed);
    let unconfirmed: BTreeMap<&str, &str> = unconfirmed
        .filter_map(|foreign| Some((foreign.message_id.as_str(), foreign.customer.as_deref()?)))
        .collect();

    let mut effective =
        Check::new("an event that was published has its effect, or is a dead letter");
    for (event_id, customer) in &counted {
        if unconfirmed.contains_key(event_id) {
            continue;
        }
        let known = history.processed.contains_key(*event_id) || dead.contains(event_id);
        effective.examine(known, || format!("{event_id} of customer {customer}"));
    }
    counted.extend(unconfirmed);
    let mut truthful = Check::new("an effect is of an event that was published");
    for event_id in history.processed.keys() {
        truthful.examine(counted.contains_key(event_id.as_str()), || event_id.clone());
    }
    let mut per_customer: BTreeMap<&str, i64> = BTreeMap::new();
    for (event_id, customer) in &counted {
        if history.processed.contains_key(*event_id) {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::checks;
    use crate::history::{Foreign, History, Message};

    /// An event that another program sent, and its messages in the tap and in the consumer's queue.
    fn broken(confirmed: bool, tapped: bool, counted: bool) -> Vec<String> {
        let (id, customer) = ("e", "c");
        let body = json!({ "event_id": id, "data": { "customer_public_id": customer } });
        let mut history = History::default();
        history.foreign.push(Foreign {
            kind: "event".to_owned(),
            message_id: id.to_owned(),
            customer: Some(customer.to_owned()),
            confirmed,
        });
        if tapped {
            let (message_id, key) = (id.to_owned(), "order.created".to_owned());
            history.messages.push(Message { at: 1, message_id, key, outbox_id: None, body });
        }
        if counted {
            history.processed.insert(id.to_owned(), json!({ "event_id": id }));
        }
        let row = json!({ "id": customer, "orders_count": i32::from(counted) });
        history.customers.insert(customer.to_owned(), row);
        for queue in super::EMPTIED {
            history.queues.insert(queue.to_owned(), 0);
        }
        let broken = checks(&history).into_iter().filter(|check| check.broken > 0);
        broken.map(|check| check.guarantee.into_owned()).collect()
    }

    #[test]
    fn queues_may_disagree_on_a_message_that_was_not_confirmed() {
        for (tapped, counted) in [(false, false), (false, true), (true, false), (true, true)] {
            assert_eq!(broken(false, tapped, counted), [""; 0], "{tapped} {counted}");
        }
    }

    #[test]
    fn a_confirmed_message_has_its_effect() {
        assert_eq!(broken(true, true, true), [""; 0]);
        let lost = "an event that was published has its effect, or is a dead letter";
        assert_eq!(broken(true, true, false), [lost]);
    }

    #[test]
    fn an_effect_of_what_nobody_received_is_untrue() {
        let untrue = "an effect is of an event that was published";
        assert!(broken(true, false, true).contains(&untrue.to_owned()));
    }
}

//! Orders: what clients were told, and what is in the tables.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::check::Check;
use crate::history::{History, Outcome};

pub(super) fn checks(history: &History) -> Vec<Check> {
    let mut by_product: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, order) in &history.orders {
        by_product.entry(order["product_name"].as_str().unwrap_or_default()).or_default().push(id);
    }
    let none = Vec::new();
    let mut accepted = Check::new("an accepted order is there, once, with the id that was told");
    let mut refused = Check::new("a refused order is not there");
    let mut single = Check::new("an order is there at most once, however often it was sent");
    for create in &history.creates {
        let ids = by_product.get(create.product.as_str()).unwrap_or(&none);
        single.examine(ids.len() <= 1, || format!("{}: orders {ids:?}", create.product));
        match create.outcome {
            Outcome::Done => accepted
                .examine(ids.len() == 1 && create.order.as_deref() == ids.first().copied(), || {
                    format!("{}: told {:?}, in the table {ids:?}", create.product, create.order)
                }),
            Outcome::Refused => {
                refused.examine(ids.is_empty(), || format!("{}: {ids:?}", create.product));
            }
            Outcome::Unknown => {}
        }
    }

    let mut events: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for event in history.outbox.values() {
        if let (Some("order"), Some(id), Some(event_type)) = (
            event["aggregate_type"].as_str(),
            event["payload"]["order_public_id"].as_str(),
            event["event_type"].as_str(),
        ) {
            *events.entry((id, event_type)).or_default() += 1;
        }
    }
    let mut announced = Check::new("each order has exactly one event that announces it");
    for id in history.orders.keys() {
        let count = events.get(&(id, "order.created")).copied().unwrap_or_default();
        announced.examine(count == 1, || format!("order {id}: {count} events order.created"));
    }
    let mut true_events = Check::new("each event of an order is of an order that is there");
    for (id, event_type) in events.keys() {
        true_events.examine(history.orders.contains_key(*id), || format!("{event_type} of {id}"));
    }
    let mut changed = Check::new("each status that was set has exactly one event");
    for change in history.changes.iter().filter(|change| change.outcome == Outcome::Done) {
        let event_type = format!("order.{}", change.status);
        let count = events.get(&(change.order.as_str(), event_type.as_str())).copied();
        changed.examine(count == Some(1), || {
            format!("order {}: {} events {event_type}", change.order, count.unwrap_or_default())
        });
    }
    let mut last = Check::new("an order has the status of its latest event");
    let latest = latest_events(history);
    for (id, order) in &history.orders {
        if let (Some(status), Some((_, event_type))) =
            (order["status"].as_str(), latest.get(id.as_str()))
        {
            let is_it = event_type.strip_prefix("order.") == Some(status);
            last.examine(is_it, || {
                format!("order {id} is {status}, its latest event {event_type}")
            });
        }
    }
    vec![accepted, refused, single, announced, true_events, changed, last]
}

/// The row id and type of the latest event of each order.
fn latest_events(history: &History) -> BTreeMap<&str, (i64, &str)> {
    let mut latest: BTreeMap<&str, (i64, &str)> = BTreeMap::new();
    for event in history.outbox.values() {
        let of = event["payload"]["order_public_id"].as_str();
        if let (Some(order), Some(id), Some(event_type)) =
            (of, event["id"].as_i64(), event["event_type"].as_str())
            && latest.get(order).is_none_or(|(before, _)| *before < id)
        {
            latest.insert(order, (id, event_type));
        }
    }
    latest
}

/// The customer of an event.
pub(super) fn customer(event: &Value) -> Option<&str> {
    event["customer_public_id"].as_str()
}

//! Events: published if and only if their transaction committed, and after it.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::Check;
use crate::history::{History, Outcome};

pub(super) fn checks(history: &History) -> Vec<Check> {
    let mut published: BTreeMap<&str, u64> = BTreeMap::new();
    for message in history.published() {
        published.entry(&message.message_id).or_insert(message.at);
    }
    let mut of_transaction: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut undone = BTreeSet::new();
    for (event_id, event) in &history.outbox {
        let payload = &event["payload"];
        if let Some(transaction) = payload["transaction"].as_str() {
            of_transaction.entry(transaction).or_default().push(event_id);
        }
        if payload["undone"] == true {
            undone.insert(event_id.as_str());
        }
    }

    let mut announced = Check::new("an event whose transaction committed is published");
    for event_id in history.outbox.keys() {
        let discarded = history.discarded.contains_key(event_id);
        announced
            .examine(discarded || published.contains_key(event_id.as_str()), || event_id.clone());
    }
    let mut settled = Check::new("an event that is published is marked as published");
    for (event_id, event) in &history.outbox {
        settled.examine(!event["published_at"].is_null(), || event_id.clone());
    }
    let mut saved = Check::new("a message is of an event that was committed");
    for (message_id, at) in &published {
        let known =
            history.outbox.contains_key(*message_id) || history.discarded.contains_key(*message_id);
        saved.examine(known, || format!("{message_id}, received at {at}"));
    }

    let none = Vec::new();
    let mut committed = Check::new("the events of an acknowledged transaction are there");
    let mut rolled_back =
        Check::new("the events of a transaction that was rolled back are not there");
    let mut later = Check::new("an event is published after its commit was asked for");
    for transaction in &history.transactions {
        let name = &transaction.transaction;
        let events = of_transaction.get(name.as_str()).unwrap_or(&none);
        match (transaction.outcome, transaction.commit_sent) {
            (Outcome::Done, _) => committed.examine(!events.is_empty(), || name.clone()),
            (Outcome::Refused, _) => {
                rolled_back.examine(events.is_empty(), || format!("{name}: {events:?}"));
            }
            (Outcome::Unknown, _) => {}
        }
        for event in events {
            if let (Some(sent), Some(at)) = (transaction.commit_sent, published.get(event)) {
                later.examine(*at >= sent, || {
                    format!("{event}: received at {at}, commit at {sent}")
                });
            }
        }
    }
    let mut savepoints = Check::new("what a savepoint undid is neither there nor published");
    let of_undone = |message: &&crate::history::Message| message.body["data"]["undone"] == true;
    let wrongly = undone.len() + history.messages.iter().filter(of_undone).count();
    for transaction in &history.transactions {
        savepoints.examine(wrongly == 0, || transaction.transaction.clone());
    }
    vec![announced, settled, saved, committed, rolled_back, later, savepoints]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::checks;
    use crate::history::{Foreign, History, Message};

    const UNANNOUNCED: &str = "an event whose transaction committed is published";
    const UNKNOWN: &str = "a message is of an event that was committed";

    /// The complaints if this message came, which has no id of an outbox row.
    fn broken(message_id: &str, mut history: History) -> Vec<String> {
        let (message_id, key) = (message_id.to_owned(), "order.created".to_owned());
        history.messages.push(Message {
            at: 2,
            message_id,
            key,
            outbox_id: None,
            body: Value::Null,
        });
        let broken = checks(&history).into_iter().filter(|check| check.broken > 0);
        broken.map(|check| check.guarantee.into_owned()).collect()
    }

    fn outbox() -> History {
        let mut history = History::default();
        let row = json!({ "event_id": "e", "published_at": "now", "payload": {} });
        history.outbox.insert("e".to_owned(), row);
        history
    }

    #[test]
    fn a_message_of_an_older_relay_counts() {
        assert_eq!(broken("e", outbox()), [""; 0]);
    }

    #[test]
    fn a_message_that_nobody_sent_is_of_no_event() {
        assert_eq!(broken("x", outbox()), [UNANNOUNCED, UNKNOWN]);
    }

    #[test]
    fn a_message_of_another_program_is_not_of_the_outbox() {
        let mut history = outbox();
        history.foreign.push(Foreign {
            kind: "event".to_owned(),
            message_id: "x".to_owned(),
            customer: None,
            confirmed: true,
        });
        assert_eq!(broken("x", history), [UNANNOUNCED]);
    }
}

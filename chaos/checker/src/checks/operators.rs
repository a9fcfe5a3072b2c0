//! Operators: what a command answered is true.

use std::collections::BTreeMap;

use crate::check::Check;
use crate::history::History;

pub(super) fn checks(history: &History) -> Vec<Check> {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for message in &history.messages {
        let at = last.entry(&message.message_id).or_default();
        *at = message.at.max(*at);
    }
    let mut discarded =
        Check::new("an event that was answered as discarded is not published afterwards");
    let mut kept = Check::new("an event that was answered as discarded is in the audit and gone");
    let mut replayed = Check::new("an event that was answered as replayed was published");
    let mut retried = Check::new("an event that was answered as retried was published");
    let mut settled = Check::new("a dead letter that was answered as returned is noted as that");
    let mut returned =
        Check::new("a dead letter that was answered as returned has its effect, or died again");
    for command in &history.commands {
        let event_id = command.event_id.as_str();
        let published = last.get(event_id).copied();
        match command.done.as_deref() {
            Some("discarded") => {
                discarded.examine(published.is_none_or(|at| at <= command.ended), || {
                    format!("{event_id}: discarded by {}, received at {published:?}", command.ended)
                });
                let is_kept = history.discarded.contains_key(event_id);
                let is_there = history.outbox.contains_key(event_id);
                kept.examine(is_kept && !is_there, || event_id.to_owned());
            }
            Some("replayed") => {
                replayed.examine(published.is_some(), || event_id.to_owned());
            }
            Some("retried") => {
                retried.examine(published.is_some(), || event_id.to_owned());
            }
            Some("returned") => {
                let told = || format!("dead letter {:?} of message {event_id}", command.letter);
                let letter =
                    command.letter.and_then(|id| history.dead_letters.get(&id.to_string()));
                let is_noted = letter.is_some_and(|row| row["state"] == "returned");
                settled.examine(is_noted, told);
                let died_again = history.dead_letters.values().any(|row| {
                    row["message_id"] == event_id && row["id"].as_i64() > command.letter
                });
                returned.examine(died_again || history.processed.contains_key(event_id), told);
            }
            _ => {}
        }
    }
    vec![discarded, kept, replayed, retried, settled, returned]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::checks;
    use crate::history::{Command, History};

    /// The complaints if a command gave this answer about event `e` and dead letter 7.
    fn broken(done: &str, history: History) -> Vec<String> {
        let command = Command {
            command: "any".to_owned(),
            event_id: "e".to_owned(),
            letter: Some(7),
            ended: 1,
            done: Some(done.to_owned()),
        };
        let broken = checks(&History { commands: vec![command], ..history }).into_iter();
        broken.filter(|check| check.broken > 0).map(|check| check.guarantee.into_owned()).collect()
    }

    fn letters(states: &[(i64, &str)]) -> History {
        let mut history = History::default();
        for (id, state) in states {
            let row = json!({ "id": id, "message_id": "e", "state": state });
            history.dead_letters.insert(id.to_string(), row);
        }
        history
    }

    #[test]
    fn a_returned_letter_has_its_effect_or_died_again() {
        let lost = "a dead letter that was answered as returned has its effect, or died again";
        assert_eq!(broken("returned", letters(&[(7, "returned")])), [lost]);
        assert_eq!(broken("returned", letters(&[(3, "open"), (7, "returned")])), [lost]);
        assert_eq!(broken("returned", letters(&[(7, "returned"), (8, "open")])), [""; 0]);
        let mut counted = letters(&[(7, "returned")]);
        counted.processed.insert("e".to_owned(), json!({}));
        assert_eq!(broken("returned", counted), [""; 0]);
    }

    #[test]
    fn a_returned_letter_is_noted_as_that() {
        let untrue = "a dead letter that was answered as returned is noted as that";
        assert_eq!(broken("returned", letters(&[(7, "open"), (8, "open")])), [untrue]);
    }

    #[test]
    fn a_retried_event_was_published() {
        let stuck = "an event that was answered as retried was published";
        assert_eq!(broken("retried", History::default()), [stuck]);
    }
}

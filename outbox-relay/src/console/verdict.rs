//! Whether events flow, in one sentence: what a person who was just woken needs first.

use serde_json::{Value, json};

/// An event that is due and older than this does not flow, in seconds.
const LATE: f64 = 60.0;

/// Returns the verdict on a status: its `state`, its `sentence`, since when, the page to look at
/// `next`, and what is wrong `besides` while events are stuck.
pub(super) fn verdict(prefix: &str, status: &Value) -> Value {
    let mut verdict = worst(prefix, status);
    let is_stuck = status.pointer("/backlog/stuck").and_then(Value::as_f64) > Some(0.0);
    verdict["besides"] = json!(if is_stuck { besides(status) } else { None });
    verdict
}

/// The worst that is wrong.
fn worst(prefix: &str, status: &Value) -> Value {
    let number = |path: &str| status.pointer(path).and_then(Value::as_f64).unwrap_or_default();
    let oldest = number("/backlog/oldest/age_seconds");
    let created_at = status.pointer("/backlog/oldest/created_at");
    let (stuck, pending) = (number("/backlog/stuck"), number("/backlog/pending"));
    let (owned, lanes) = (number("/lanes/owned"), number("/lanes/of"));
    let relays = status.get("relays").and_then(Value::as_array).map_or(0, Vec::len);
    let pauses = status.get("pauses").and_then(Value::as_array).map_or(0, Vec::len);
    let next = |text: &str, path: &str| json!({ "text": text, "href": format!("{prefix}{path}") });
    if relays == 0 {
        return json!({
            "state": "problem",
            "sentence": "No relay is at work: events are written, and none is published.",
            "since": if pending > 0.0 { created_at } else { None },
            "next": next("Look at the relays", "/relays"),
        });
    }
    if owned < lanes {
        return json!({
            "state": "warning",
            "sentence": format!("Nobody publishes {} of {lanes} lanes: a relay begins, or ends.", lanes - owned),
            "since": None::<&str>,
            "next": next("Look at the relays", "/relays"),
        });
    }
    if stuck > 0.0 {
        let events = if stuck == 1.0 {
            "1 event is stuck".to_owned()
        } else {
            format!("{stuck} events are stuck")
        };
        return json!({
            "state": "problem",
            "sentence": format!("{events}: the relays have given up."),
            "since": created_at,
            "next": next("Find the cause", "/failures"),
        });
    }
    let active = if pauses == 1 { "1 pause is".to_owned() } else { format!("{pauses} pauses are") };
    if oldest > LATE {
        let sentence = if pauses == 0 {
            "Events are late: the oldest one that is pending should have been published.".to_owned()
        } else {
            format!("Events are late; {active} active, which may be why.")
        };
        return json!({
            "state": "warning",
            "sentence": sentence,
            "since": created_at,
            "next": match number("/backlog/waiting") > 0.0 {
                true => next("Look at what has failed", "/failures"),
                false => next("Look at what is pending", "/events?state=pending"),
            },
        });
    }
    if let Some(letters) = open_letters(status).filter(|(open, _)| *open > 0) {
        let letters = match letters {
            (1, false) => "1 message".to_owned(),
            (open, false) => format!("{open} messages"),
            (open, true) => format!("at least {open} messages"),
        };
        let sentence = if pauses == 0 {
            format!("Events flow, but {letters} could not be processed by a consumer.")
        } else {
            format!(
                "Events flow; {active} active, and {letters} could not be processed by a consumer."
            )
        };
        return json!({
            "state": "warning",
            "sentence": sentence,
            "since": None::<&str>,
            "next": next("See why", "/dead-letters/groups"),
        });
    }
    if pauses > 0 {
        return json!({
            "state": "warning",
            "sentence": format!("Events flow; {active} active."),
            "since": None::<&str>,
            "next": next("Look at what is paused", "/pauses"),
        });
    }
    let sentence = match open_letters(status) {
        Some(_) => "Events flow. No dead letter is open.",
        None => "Events flow.",
    };
    json!({ "state": "ok", "sentence": sentence, "since": None::<&str>, "next": None::<&str> })
}

/// What else needs a person while events are stuck.
fn besides(status: &Value) -> Option<String> {
    let waiting = status.pointer("/backlog/waiting").and_then(Value::as_u64).unwrap_or_default();
    let waiting = match waiting {
        0 => None,
        1 => Some("1 that failed waits for its next attempt".to_owned()),
        _ => Some(format!("{waiting} that failed wait for their next attempt")),
    };
    let letters = open_letters(status).and_then(|letters| match letters {
        (0, _) => None,
        (1, false) => Some("1 message could not be processed by a consumer".to_owned()),
        (open, at_least) => {
            let at_least = if at_least { "at least " } else { "" };
            Some(format!("{at_least}{open} messages could not be processed by a consumer"))
        }
    });
    let parts: Vec<String> = waiting.into_iter().chain(letters).collect();
    if parts.is_empty() { None } else { Some(format!("Besides, {}.", parts.join(", and "))) }
}

/// How many dead letters are open, and whether there may be more; none without a desk that can be
/// read.
fn open_letters(status: &Value) -> Option<(u64, bool)> {
    let letters = status.get("dead_letters")?;
    let open = letters.get("open").and_then(Value::as_u64)?;
    Some((open, letters.get("at_least").and_then(Value::as_bool) == Some(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stuck_does_not_hide_what_else_is_wrong() {
        let status = |waiting: u64, letters: Value| {
            let status = json!({
                "relays": [1], "lanes": {"owned": 64, "of": 64}, "pauses": [],
                "backlog": {"pending": 9, "stuck": 3, "waiting": waiting}, "dead_letters": letters,
            });
            let verdict = verdict("", &status);
            assert_eq!(verdict["sentence"], "3 events are stuck: the relays have given up.");
            verdict["besides"].clone()
        };
        assert_eq!(status(0, Value::Null), Value::Null);
        let letters = json!({ "open": 5, "at_least": true });
        assert_eq!(
            status(40, letters),
            "Besides, 40 that failed wait for their next attempt, and at least 5 messages could not be processed by a consumer."
        );
        let letter = json!({ "open": 1, "at_least": false });
        assert_eq!(status(0, letter), "Besides, 1 message could not be processed by a consumer.");
    }

    #[test]
    fn open_dead_letters_are_said_where_events_flow() {
        let status = |letters: Value, pauses: usize| {
            json!({
                "relays": [1], "lanes": {"owned": 64, "of": 64}, "pauses": vec![1; pauses],
                "backlog": {"pending": 0, "stuck": 0}, "dead_letters": letters,
            })
        };
        let letters = |open: i64, at_least: bool| json!({ "open": open, "at_least": at_least });
        for (status, state, sentence) in [
            (status(letters(0, false), 0), "ok", "Events flow. No dead letter is open."),
            (status(json!({ "open": null, "problem": "locked" }), 0), "ok", "Events flow."),
            (status(letters(0, false), 1), "warning", "Events flow; 1 pause is active."),
            (
                status(letters(1, false), 0),
                "warning",
                "Events flow, but 1 message could not be processed by a consumer.",
            ),
            (
                status(letters(5, true), 1),
                "warning",
                "Events flow; 1 pause is active, and at least 5 messages could not be processed by a consumer.",
            ),
        ] {
            let verdict = verdict("", &status);
            assert_eq!(
                (&verdict["state"], &verdict["sentence"]),
                (&json!(state), &json!(sentence))
            );
        }
    }

    #[test]
    fn the_worst_is_said_first() {
        let status = |relays: usize, owned: i64, stuck: i64, age: f64, pauses: usize| {
            json!({
                "relays": vec![1; relays], "lanes": {"owned": owned, "of": 64}, "pauses": vec![1; pauses],
                "backlog": {
                    "pending": 1, "stuck": stuck, "oldest": {"age_seconds": age, "created_at": "2026-01-02T03:04:05Z"},
                },
            })
        };
        for (status, state, begin) in [
            (status(0, 0, 5, 900.0, 0), "problem", "No relay is at work"),
            (status(1, 63, 5, 0.0, 0), "warning", "Nobody publishes 1 of 64 lanes"),
            (status(1, 64, 1, 900.0, 0), "problem", "1 event is stuck"),
            (status(1, 64, 5, 0.0, 0), "problem", "5 events are stuck"),
            (status(1, 64, 0, 61.0, 0), "warning", "Events are late"),
            (status(1, 64, 0, 61.0, 1), "warning", "Events are late; 1 pause is active, which"),
            (status(1, 64, 0, 3.0, 2), "warning", "Events flow; 2 pauses are active"),
            (status(2, 64, 0, 3.0, 0), "ok", "Events flow."),
        ] {
            let verdict = verdict("", &status);
            assert_eq!(verdict["state"], state, "{status}");
            let sentence = verdict["sentence"].as_str().unwrap_or_default();
            assert!(sentence.starts_with(begin), "{sentence}");
            if state == "problem" {
                assert_eq!(verdict["since"], "2026-01-02T03:04:05Z", "{sentence}");
            }
        }
    }
}

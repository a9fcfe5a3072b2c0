//! `/`: whether events flow, and what to do if not.

use serde_json::{Value, json};

use super::{NoPage, Page, PageRequest, read, read_lines};
use crate::console::Console;
use crate::console::command_line::CommandLine;

/// An event that is due and older than this does not flow, in seconds.
const LATE: f64 = 60.0;

pub(super) async fn overview(console: &Console, request: &PageRequest) -> Result<Page, NoPage> {
    let line = CommandLine::new("status");
    // The sampler's, so that it costs nothing how many people watch.
    let status = match console.history.latest() {
        Some(status) => status?,
        None => read(console, &request.user, &line).await?,
    };
    let failures = CommandLine::new("failures").option("limit", Some("5"));
    let audit = CommandLine::new("audit").option("limit", Some("10"));
    let (failures, audit) = tokio::join!(
        read(console, &request.user, &failures),
        read_lines(console, &request.user, &audit),
    );
    // An outbox of an older schema has no causes, which a page must not fail of.
    let failures = failures.unwrap_or_else(|_| json!({ "failures": [] }));
    let audit = audit.unwrap_or_else(|_| json!([]));
    let data = json!({
        "verdict": verdict(&console.prefix, &status),
        "pauses": status.get("pauses"),
        "status": status,
        "failures": failures,
        "audit": audit,
        "sparklines": console.history.sparklines(),
    });
    let (title, command) = ("Overview".to_owned(), Some(line.typed()));
    Ok(Page { template: "overview.html", title, section: "overview", command, data })
}

/// What a person who was just woken needs first.
fn verdict(prefix: &str, status: &Value) -> Value {
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
            "since": None::<&str>,
            "next": next("Find the cause", "/failures"),
        });
    }
    if oldest > LATE && pauses == 0 {
        return json!({
            "state": "warning",
            "sentence": "Events are late: the oldest one that is pending should have been published.",
            "since": created_at,
            "next": next("Look at what is pending", "/events?state=pending"),
        });
    }
    if pauses > 0 {
        let what =
            if pauses == 1 { "1 pause is".to_owned() } else { format!("{pauses} pauses are") };
        return json!({
            "state": "warning",
            "sentence": format!("Events flow; {what} active."),
            "since": None::<&str>,
            "next": next("Look at what is paused", "/pauses"),
        });
    }
    json!({ "state": "ok", "sentence": "Events flow.", "since": None::<&str>, "next": None::<&str> })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_said_first() {
        let status = |relays: usize, owned: i64, stuck: i64, age: f64, pauses: usize| {
            json!({
                "relays": vec![1; relays], "lanes": {"owned": owned, "of": 64}, "pauses": vec![1; pauses],
                "backlog": {"pending": 1, "stuck": stuck, "oldest": {"age_seconds": age}},
            })
        };
        for (status, state, begin) in [
            (status(0, 0, 5, 900.0, 0), "problem", "No relay is at work"),
            (status(1, 63, 5, 0.0, 0), "warning", "Nobody publishes 1 of 64 lanes"),
            (status(1, 64, 1, 900.0, 0), "problem", "1 event is stuck"),
            (status(1, 64, 5, 0.0, 0), "problem", "5 events are stuck"),
            (status(1, 64, 0, 61.0, 0), "warning", "Events are late"),
            (status(1, 64, 0, 61.0, 1), "warning", "Events flow; 1 pause is active"),
            (status(2, 64, 0, 3.0, 0), "ok", "Events flow."),
        ] {
            let verdict = verdict("", &status);
            assert_eq!(verdict["state"], state, "{status}");
            let sentence = verdict["sentence"].as_str().unwrap_or_default();
            assert!(sentence.starts_with(begin), "{sentence}");
        }
    }
}

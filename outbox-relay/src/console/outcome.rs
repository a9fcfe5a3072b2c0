//! What the answer of a command says that it did, and what it left as it was.

use serde_json::{Value, json};

use super::cut_lists::{CUT, length};

/// The rows that a command names as not changed: its fields `not_retried`, `not_discarded` and so
/// on, and what became of dead letters that were not returned.
pub(super) fn skipped(result: &Value) -> Vec<Value> {
    let fields = result.as_object().into_iter().flatten();
    let named = fields.filter(|(name, _)| is_skipped(name));
    let rows = named.filter_map(|(name, value)| Some((name, value.as_array()?)));
    rows.flat_map(|(name, rows)| {
        rows.iter().map(move |row| match name.as_str() {
            "unknown" => json!({ "id": row, "reason": "it may have arrived, or not" }),
            _ => row.clone(),
        })
    })
    .collect()
}

/// How many rows a command left as they were: it may have named more than are kept.
pub(super) fn count_skipped(result: &Value, kept: usize) -> u64 {
    let cut = result.get(CUT).and_then(Value::as_object).into_iter().flatten();
    let left_out = cut.filter(|(name, _)| is_skipped(name)).filter_map(|(name, _)| {
        let kept = u64::try_from(result.get(name)?.as_array()?.len()).ok()?;
        length(result, name)?.checked_sub(kept)
    });
    left_out.sum::<u64>() + kept as u64
}

/// Whether a member of a report names rows that were left as they were.
fn is_skipped(name: &str) -> bool {
    name.starts_with("not_") && name != "not_confirmed_by"
        || ["refused", "unchanged", "unknown"].contains(&name)
}

/// What a command says that it did to how many.
fn changed(result: &Value) -> Option<(&'static str, u64)> {
    let verbs = ["retried", "discarded", "replayed", "returned", "forgotten", "noted"];
    verbs.into_iter().find_map(|verb| {
        let count = match result.get(verb)? {
            Value::Array(_) => length(result, verb),
            other => other.as_u64(),
        };
        Some((verb, count?))
    })
}

/// What a command did, as a sentence.
pub(super) fn outcome(status: u8, result: &Value, skipped: u64) -> String {
    let not_changed = match skipped {
        0 => String::new(),
        1 => " 1 was not changed: see below.".to_owned(),
        count => format!(" {count} were not changed: see below."),
    };
    let matched = result.get("matched").and_then(Value::as_u64);
    let changed = changed(result);
    let of = match (matched, changed) {
        (Some(matched), Some((verb, count))) if count > 0 => {
            format!(" {matched} matched, {count} {verb}.")
        }
        (Some(matched), _) => format!(" {matched} matched."),
        (None, _) => String::new(),
    };
    if matches!((status, matched, changed), (0 | 3, Some(1..), Some((_, 0)))) {
        return format!("Nothing was changed.{of}{not_changed}");
    }
    let done = match result.get("retried") {
        Some(Value::Bool(true)) => "Saved, and to be published now.",
        Some(Value::Bool(false)) => "Saved.",
        _ => "Done.",
    };
    match status {
        0 => format!("{done}{of}{not_changed}"),
        3 => format!("{done}{of}{not_changed} {}", may_still_arrive(result)),
        _ if skipped > 0 => format!("Not all was done.{of}{not_changed}"),
        _ => "Nothing was changed, or not all was done.".to_owned(),
    }
}

/// Why an event may still arrive as it was before.
fn may_still_arrive(result: &Value) -> &'static str {
    let names_any = |field| length(result, field).is_some_and(|length| length > 0);
    match (names_any("in_flight"), names_any("not_confirmed_by")) {
        (true, false) => "A copy from before may still arrive: it was in flight.",
        (false, true) => {
            "A copy from before may still arrive: a relay has not confirmed the change."
        }
        (true, true) => {
            "A copy from before may still arrive: it was in flight, and a relay has not confirmed the change."
        }
        (false, false) => {
            "A copy from before may still arrive: it was in flight, or a relay has not confirmed the change."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_returned_is_named_with_the_reason() {
        let result = json!({
            "returned": 1, "not_returned": [{"id": 4, "why": "state"}], "not_confirmed_by": ["a relay"],
            "refused": [{"id": 5, "reason": "no queue"}], "unknown": [6], "untried": 0,
        });
        let rows = skipped(&result);
        let ids: Vec<_> = rows.iter().map(|row| row["id"].as_i64()).collect();
        assert_eq!(ids, [Some(4), Some(5), Some(6)]);
        assert_eq!(rows[1]["reason"], "no queue");
        let sentence = outcome(1, &result, count_skipped(&result, rows.len()));
        assert_eq!(sentence, "Not all was done. 3 were not changed: see below.");
    }

    #[test]
    fn what_may_still_arrive_is_said_with_the_reason() {
        for (in_flight, unconfirmed, reason) in [
            (vec!["x"], vec![], "it was in flight."),
            (vec![], vec!["a relay"], "a relay has not confirmed the change."),
            (
                vec!["x"],
                vec!["a relay"],
                "it was in flight, and a relay has not confirmed the change.",
            ),
        ] {
            let result = json!({
                "edited": ["x"], "retried": false, "in_flight": in_flight, "not_confirmed_by": unconfirmed,
            });
            let said = format!("Saved. A copy from before may still arrive: {reason}");
            assert_eq!(outcome(3, &result, 0), said);
        }
    }

    #[test]
    fn done_is_not_said_of_what_others_did_before() {
        for (result, skipped, said) in [
            (json!({"matched": 3, "retried": 3}), 0, "Done. 3 matched, 3 retried."),
            (json!({"matched": 3, "returned": 2}), 0, "Done. 3 matched, 2 returned."),
            (
                json!({"matched": 3, "retried": 0}),
                3,
                "Nothing was changed. 3 matched. 3 were not changed: see below.",
            ),
            (json!({"matched": 1, "discarded": ["x"]}), 0, "Done. 1 matched, 1 discarded."),
            (json!({"edited": ["x"], "retried": true}), 0, "Saved, and to be published now."),
            (json!({"edited": ["x"], "retried": false}), 0, "Saved."),
        ] {
            assert_eq!(outcome(0, &result, skipped), said, "{result}");
        }
    }
}

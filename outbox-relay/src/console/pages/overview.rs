//! `/`: whether events flow, and what to do if not.

use std::cmp::Reverse;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{NoPage, Page, PageRequest, read, read_lines};
use crate::console::Console;
use crate::console::command_line::CommandLine;
use crate::console::verdict::verdict;

/// How many of the latest actions are shown.
const ACTIONS: usize = 10;

/// How many rows of each audit table are read for them: an action on many has as many rows.
const AUDIT_ROWS: usize = 200;

pub(super) async fn overview(console: &Console, request: &PageRequest) -> Result<Page, NoPage> {
    let line = CommandLine::new("status");
    // Before the status, which is then of this sample or a later one.
    let sample = console.history.taken();
    // The sampler's, so that it costs nothing how many people watch.
    let status = console.history.status().await?;
    let failures = CommandLine::new("failures").option("limit", Some("5"));
    let recovered = failures.clone().flag("recovered", true);
    let (failures, recovered, (audit, audit_problem)) = tokio::join!(
        console.causes.get(sample, read(console, &request.user, &failures)),
        console.recovered.get(sample, read(console, &request.user, &recovered)),
        latest_actions(console, request, sample),
    );
    let (failures, failures_problem) = or_problem(failures);
    let (recovered, recovered_problem) = or_problem(recovered);
    let data = json!({
        "verdict": verdict(&console.prefix, &status),
        "pauses": status.get("pauses"),
        "status": status,
        "failures": failures,
        "failures_problem": failures_problem,
        "recovered": recovered.get("recovered"),
        "recovered_problem": recovered_problem,
        "audit": audit,
        "audit_problem": audit_problem,
        "sparklines": console.history.sparklines(),
    });
    let (title, command) = ("Overview".to_owned(), Some(line.typed()));
    Ok(Page { template: "overview.html", title, section: "overview", command, data })
}

/// The latest actions on events and on dead letters, and why some could not be read.
async fn latest_actions(
    console: &Console,
    request: &PageRequest,
    sample: u64,
) -> (Value, Option<String>) {
    let limit = AUDIT_ROWS.to_string();
    let line = |command| CommandLine::new(command).option("limit", Some(&limit));
    let (on_events, on_letters) = (line("audit"), line("dead-letters audit"));
    let read_letters = async {
        if console.has_desk {
            read_lines(console, &request.user, &on_letters).await
        } else {
            Ok(Value::Null)
        }
    };
    let (on_events, on_letters) = tokio::join!(
        console.event_actions.get(sample, read_lines(console, &request.user, &on_events)),
        console.letter_actions.get(sample, read_letters),
    );
    let (mut actions, mut problem) = (Vec::new(), None);
    for (read, why) in [or_problem(on_events), or_problem(on_letters)] {
        if let Value::Array(rows) = read {
            actions.extend(by_operation(rows));
        }
        problem = problem.or(why);
    }
    actions.sort_by_cached_key(|row| {
        let at = row.get("happened_at").and_then(Value::as_str).unwrap_or_default();
        Reverse(OffsetDateTime::parse(at, &Rfc3339).ok())
    });
    actions.truncate(ACTIONS);
    (Value::Array(actions), problem)
}

/// Makes one of the rows that one operation wrote, with their number as `of`. The oldest operation
/// may have more than were read.
fn by_operation(rows: Vec<Value>) -> Vec<Value> {
    let is_cut = rows.len() == AUDIT_ROWS;
    let mut actions: Vec<(Value, usize)> = Vec::new();
    for row in rows {
        match actions.last_mut() {
            Some((action, of)) if is_same_operation(action, &row) => *of += 1,
            _ => actions.push((row, 1)),
        }
    }
    let last = actions.len();
    let actions = actions.into_iter().zip(1..).map(|((mut action, of), number)| {
        action["of"] = json!(of);
        action["of_at_least"] = json!(is_cut && number == last);
        action
    });
    actions.collect()
}

fn is_same_operation(one: &Value, other: &Value) -> bool {
    let is_equal = |name: &str| one.get(name) == other.get(name);
    one.get("operation_id").is_some_and(|id| !id.is_null())
        && is_equal("operation_id")
        && is_equal("action")
}

/// What was read, or why it was not: what could not be read is not shown as if there were nothing.
fn or_problem(read: Result<Value, NoPage>) -> (Value, Option<String>) {
    match read {
        Ok(value) => (value, None),
        Err(why) => (Value::Null, Some(why.describe().2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_one_operation_are_one_action() {
        let row = |id: Option<u64>, action: &str| json!({ "operation_id": id, "action": action });
        let rows = vec![
            row(Some(2), "retry"),
            row(Some(2), "retry"),
            row(Some(2), "edit"),
            row(None, "prune"),
            row(None, "prune"),
            row(Some(1), "retry"),
        ];
        let of: Vec<_> = by_operation(rows).iter().map(|action| action["of"].clone()).collect();
        assert_eq!(of, [2, 1, 1, 1, 1]);
        let many = by_operation(vec![row(Some(3), "discard"); AUDIT_ROWS]);
        assert_eq!(many.len(), 1);
        assert_eq!((&many[0]["of"], &many[0]["of_at_least"]), (&json!(AUDIT_ROWS), &json!(true)));
    }
}

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
    let limit = ACTIONS.to_string();
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
    let (mut rows, mut problem) = (Vec::new(), None);
    for (read, why) in [or_problem(on_events), or_problem(on_letters)] {
        if let Value::Array(read) = read {
            rows.extend(read);
        }
        problem = problem.or(why);
    }
    rows.sort_by_cached_key(|row| {
        let at = row.get("happened_at").and_then(Value::as_str).unwrap_or_default();
        Reverse(OffsetDateTime::parse(at, &Rfc3339).ok())
    });
    rows.truncate(ACTIONS);
    (Value::Array(rows), problem)
}

/// What was read, or why it was not: what could not be read is not shown as if there were nothing.
fn or_problem(read: Result<Value, NoPage>) -> (Value, Option<String>) {
    match read {
        Ok(value) => (value, None),
        Err(why) => (Value::Null, Some(why.describe().2)),
    }
}

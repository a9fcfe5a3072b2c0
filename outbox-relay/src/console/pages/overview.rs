//! `/`: whether events flow, and what to do if not.

use serde_json::{Value, json};

use super::{NoPage, Page, PageRequest, read, read_lines};
use crate::console::Console;
use crate::console::command_line::CommandLine;
use crate::console::verdict::verdict;

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
        console.causes.get(read(console, &request.user, &failures)),
        read_lines(console, &request.user, &audit),
    );
    let (failures, failures_problem) = or_problem(failures);
    let (audit, audit_problem) = or_problem(audit);
    let data = json!({
        "verdict": verdict(&console.prefix, &status),
        "pauses": status.get("pauses"),
        "status": status,
        "failures": failures,
        "failures_problem": failures_problem,
        "audit": audit,
        "audit_problem": audit_problem,
        "sparklines": console.history.sparklines(),
    });
    let (title, command) = ("Overview".to_owned(), Some(line.typed()));
    Ok(Page { template: "overview.html", title, section: "overview", command, data })
}

/// What was read, or why it was not: what could not be read is not shown as if there were nothing.
fn or_problem(read: Result<Value, NoPage>) -> (Value, Option<String>) {
    match read {
        Ok(value) => (value, None),
        Err(why) => (Value::Null, Some(why.describe().2)),
    }
}

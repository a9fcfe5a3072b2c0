//! `/failures` and `/failures/{fingerprint}`: what failed, by its cause.

use serde_json::{Value, json};

use super::{NoPage, Page, PageRequest, read, read_list};
use crate::console::Console;
use crate::console::command_line::CommandLine;

/// How many events of a cause a page shows.
const EVENTS: &str = "50";

pub(super) async fn causes(console: &Console, request: &PageRequest) -> Result<Page, NoPage> {
    let line = CommandLine::new("failures").option("limit", Some("100"));
    let data = read(console, &request.user, &line).await?;
    let (title, command) = ("Failures".to_owned(), Some(line.typed()));
    Ok(Page { template: "failures.html", title, section: "failures", command, data })
}

pub(super) async fn cause(
    console: &Console,
    request: &PageRequest,
    fingerprint: &str,
) -> Result<Page, NoPage> {
    let form = &request.form;
    let all = CommandLine::new("failures")
        .option("fingerprint", Some(fingerprint))
        .option("limit", Some("500"));
    let line = CommandLine::new("events")
        .option("fingerprint", Some(fingerprint))
        .option("kind", form.get("kind"))
        .option("type", form.get("type"))
        .option("limit", Some(EVENTS));
    let recovered = all.clone().flag("recovered", true);
    let path = format!("/failures/{fingerprint}");
    let (groups, recovered, events) = tokio::join!(
        read(console, &request.user, &all),
        read(console, &request.user, &recovered),
        read_list(console, request, &line, &path, &["kind", "type"]),
    );
    let (groups, events) = (groups?, events?);
    let is_it = |group: &&Value| {
        let same = |field: &str, value: Option<&str>| {
            value.is_none_or(|value| group.get(field).and_then(Value::as_str) == Some(value))
        };
        same("fingerprint", Some(fingerprint))
            && same("kind", form.get("kind"))
            && same("event_type", form.get("type"))
    };
    let group = groups.get("failures").and_then(Value::as_array);
    let group = group.and_then(|groups| groups.iter().find(is_it));
    // What fails now is shown whether or not the audit can be read.
    let recovered = recovered.ok();
    let recovered = recovered.as_ref().and_then(|report| report.get("recovered")?.as_array());
    let recovered: Vec<&Value> = recovered.into_iter().flatten().filter(is_it).collect();
    let data = json!({
        "fingerprint": fingerprint,
        "group": group,
        "recovered": recovered,
        "next": events.next,
        "note": events.note,
        "events": events.rows,
    });
    let (title, command) = (format!("Cause {fingerprint}"), Some(line.typed()));
    Ok(Page { template: "group.html", title, section: "failures", command, data })
}

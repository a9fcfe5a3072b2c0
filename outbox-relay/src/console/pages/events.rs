//! `/events` and `/aggregates/{type}/{id}`: lists of events.

use serde_json::json;

use super::{NoPage, Page, PageRequest, read, read_list};
use crate::console::Console;
use crate::console::command_line::CommandLine;

/// How many events a page shows.
const EVENTS: &str = "50";

/// The states that can be listed: the value in the address, the name, and the option of `events`.
const TABS: [(&str, &str, Option<&str>); 7] = [
    ("", "All", None),
    ("pending", "Pending", Some("pending")),
    ("waiting", "Waiting", Some("waiting")),
    ("scheduled", "Scheduled", Some("scheduled")),
    ("stuck", "Stuck", Some("stuck")),
    ("parked", "Parked", Some("parked")),
    ("published", "Published", Some("published")),
];

/// The fields that filter.
const FILTERS: [&str; 9] = [
    "state",
    "aggregate_type",
    "aggregate",
    "type",
    "kind",
    "fingerprint",
    "error",
    "since",
    "until",
];

pub(super) async fn events(console: &Console, request: &PageRequest) -> Result<Page, NoPage> {
    let form = &request.form;
    let state = form.get("state").unwrap_or_default();
    let Some((_, _, option)) = TABS.iter().find(|(name, _, _)| *name == state) else {
        return Err(NoPage::Invalid(format!("There is no state {state}.")));
    };
    let mut line = CommandLine::new("events");
    if let Some(option) = option {
        line = line.flag(option, true);
    }
    for name in &FILTERS[1..] {
        line = line.option(&name.replace('_', "-"), form.get(name));
    }
    line = line.option("limit", Some(EVENTS));
    let events = read_list(console, request, &line, "/events", &FILTERS).await?;
    let path = format!("{}/events", console.prefix);
    // Of all events, and so only where no filter leaves some out.
    let is_filtered = FILTERS[1..].iter().any(|name| form.get(name).is_some());
    let counts = console.history.latest().and_then(Result::ok).filter(|_| !is_filtered);
    let tabs = TABS.iter().map(|(name, title, _)| {
        let count = counts.as_ref().and_then(|status| status.pointer(&format!("/backlog/{name}")));
        json!({
            "name": title,
            "href": format!("{path}?{}", form.query_with(&FILTERS, ("state", name))),
            "is_current": *name == state,
            "count": count,
        })
    });
    let data = json!({
        "tabs": tabs.collect::<Vec<_>>(),
        "next": events.next,
        "note": events.note,
        "events": events.rows,
    });
    let (title, command) = ("Events".to_owned(), Some(line.typed()));
    Ok(Page { template: "events.html", title, section: "events", command, data })
}

pub(super) async fn aggregate(
    console: &Console,
    request: &PageRequest,
    aggregate_type: &str,
    aggregate_id: &str,
) -> Result<Page, NoPage> {
    let line = CommandLine::new("events")
        .option("aggregate-type", Some(aggregate_type))
        .option("aggregate", Some(aggregate_id))
        .option("limit", Some(EVENTS));
    let place = CommandLine::new("where").operand(format!("{aggregate_type}/{aggregate_id}"));
    let path = aggregate_path(aggregate_type, aggregate_id);
    let (events, place) = tokio::join!(
        read_list(console, request, &line, &path, &[]),
        read(console, &request.user, &place),
    );
    let events = events?;
    let data = json!({
        "aggregate_type": aggregate_type,
        "aggregate_id": aggregate_id,
        "next": events.next,
        "note": events.note,
        "events": events.rows,
        // An aggregate without events is none, and `where` says so.
        "where": place.ok(),
    });
    let title = format!("{aggregate_type} {aggregate_id}");
    let command = Some(line.typed());
    Ok(Page { template: "aggregate.html", title, section: "events", command, data })
}

/// The path of an aggregate's page, without the prefix.
pub(super) fn aggregate_path(aggregate_type: &str, aggregate_id: &str) -> String {
    let encode =
        |text| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
    format!("/aggregates/{}/{}", encode(aggregate_type), encode(aggregate_id))
}

//! `/events/{id}`: one event.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{NoPage, Page, PageRequest, raw_member, read};
use crate::console::Console;
use crate::console::command_line::CommandLine;
use crate::console::contents::Longest;

/// What may be personal, and has numbers of any length: where it stands, and what is there if it was
/// too large to be read.
const CONTENTS: [(&[&str], &str, &str); 2] = [
    (&["payload"], "/payload", "/cut_payload"),
    (&["event", "headers"], "/event/headers", "/event/headers_stored_bytes"),
];

pub(super) async fn event(
    console: &Console,
    request: &PageRequest,
    event_id: &str,
) -> Result<Page, NoPage> {
    let Ok(event_id) = event_id.parse::<Uuid>() else {
        return Err(NoPage::NotFound(format!("{event_id} is no event_id.")));
    };
    let line = CommandLine::new("show").operand(event_id);
    let place = CommandLine::new("where").operand(event_id);
    let user = &request.user;
    let shown = console.commands.show(&line, Longest::Shown, user);
    let (event, place) = tokio::join!(shown, read(console, user, &place));
    let printed = event?;
    let mut event = printed.value()?;
    let place = place.ok();
    let row = event.get("event").cloned().unwrap_or_default();
    let (sentence, next_step) = describe(&row);
    let trace_id = row.pointer("/headers/traceparent").and_then(Value::as_str);
    let trace_id = trace_id.and_then(|header| header.split('-').nth(1));
    // Nothing else, as whoever wrote the event would choose where the link leads.
    let is_id = |id: &&str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let trace_id = trace_id.filter(is_id);
    let trace_url = console.trace_url.as_deref().zip(trace_id);
    let trace_url = trace_url.map(|(url, id)| url.replace("{trace_id}", id));
    // As text, in which numbers keep their digits.
    for (path, pointer, cut) in CONTENTS {
        let is_read = event.pointer(cut).is_none();
        let contents = raw_member(&printed.text, path).filter(|text| is_read && *text != "{}");
        if let (Some(contents), Some(shown)) = (contents, event.pointer_mut(pointer)) {
            *shown = Value::from(contents);
        }
    }
    if console.hide_payloads {
        hide(&mut event, &CONTENTS.map(|(_, pointer, _)| pointer));
        hide(&mut event, &["/cut_payload/beginning"]);
        // By a hash one could tell whether a guess is right.
        hide(&mut event, &["/digest"]);
        hide_details(event.get_mut("audit"));
    }
    let data = json!({
        "event": event,
        "where": place,
        "sentence": sentence,
        "next_step": next_step,
        "trace_url": trace_url,
    });
    let (title, command) = (format!("Event {event_id}"), Some(line.typed()));
    Ok(Page { template: "event.html", title, section: "events", command, data })
}

/// Empties what of audit rows may be personal: contents before and after a change.
pub(super) fn hide_details(rows: Option<&mut Value>) {
    for row in rows.and_then(Value::as_array_mut).into_iter().flatten() {
        hide(row, &["/detail", "/before", "/after"]);
    }
}

/// Empties what may be personal.
pub(super) fn hide(value: &mut Value, paths: &[&str]) {
    for path in paths {
        if let Some(hidden) = value.pointer_mut(path) {
            *hidden = Value::Null;
        }
    }
}

/// The state of an event in one sentence, and what to do next, if anything.
fn describe(event: &Value) -> (String, Option<&'static str>) {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let attempts = event.get("attempts").and_then(Value::as_i64).unwrap_or_default();
    let tried = match attempts {
        0 => "it was not tried yet".to_owned(),
        1 => "its one attempt failed".to_owned(),
        _ => format!("its {attempts} attempts failed"),
    };
    match text("state") {
        "ready" => ("It is due: a relay publishes it next.".to_owned(), None),
        "behind" => (
            "It waits: an earlier event of its aggregate failed, and holds it back.".to_owned(),
            Some("Mend the event that holds it back; this one follows by itself."),
        ),
        "waiting" => (
            format!("It failed and is tried again: {tried}."),
            Some("Mend the cause. To try at once, retry it."),
        ),
        "scheduled" => ("It is published when its time has come.".to_owned(), None),
        "stuck" => (
            format!("It is stuck: {tried}, and the relays have given it up."),
            Some(
                "Mend the cause, then retry it. If its contents are the cause, edit it; if nobody needs it, discard it.",
            ),
        ),
        "parked" => (
            "It is parked: whoever wrote it wants a person to decide.".to_owned(),
            Some("Retry it to publish it, or discard it."),
        ),
        "published" => ("It is published: the broker has confirmed it.".to_owned(), None),
        "discarded" => (
            "It is discarded: a person has deleted it, and the audit table has a copy.".to_owned(),
            None,
        ),
        other => (format!("Its state is {other}."), None),
    }
}

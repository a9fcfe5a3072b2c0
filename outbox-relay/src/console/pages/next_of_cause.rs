//! What else fails of the cause of an event that was mended: the next one, and how many are left.

use serde_json::{Value, json};

use super::confirm::LIKE;
use super::{NoPage, PageRequest, read, read_lines};
use crate::console::Console;
use crate::console::action::Subject;
use crate::console::actions;
use crate::console::command_line::CommandLine;
use crate::console::form::Form;
use crate::console::operations::Operation;

/// How many events of the cause are counted.
const MOST: usize = 100;

/// The form for the same edit of the next event, after one of `event_id`: with the same headers and
/// the same reason. A payload is the event's own.
fn edit(operation: &Operation, event_id: &str, next_id: &str) -> Option<String> {
    let (page, query) = operation.again.as_deref()?.split_once('?')?;
    let form = Form::parse(query);
    let like = if operation.action == "edit-headers" { event_id } else { "" };
    let reason = operation.reason.as_deref().unwrap_or_default();
    let mut next = url::form_urlencoded::Serializer::new(String::new());
    next.append_pair("event_id", next_id);
    for (name, value) in [("back", form.get("back")), ("retry", form.get("retry"))] {
        next.extend_pairs(value.map(|value| (name, value)));
    }
    for (name, value) in [(LIKE, like), ("reason", reason)] {
        next.extend_pairs((!value.is_empty()).then_some((name, value)));
    }
    Some(format!("{page}?{}", next.finish()))
}

/// The event to go on with after `operation`, if that has mended one event that had failed.
pub(super) async fn next_of_cause(
    console: &Console,
    request: &PageRequest,
    operation: &Operation,
) -> Result<Option<Value>, NoPage> {
    let action = actions::find(&operation.action);
    let is_mending =
        action.is_some_and(|action| action.subject == Subject::Events && !action.is_destroying);
    let event_id = operation.subject.as_deref().and_then(|path| path.rsplit('/').next());
    let (true, Some(event_id)) = (is_mending && operation.is_done(), event_id) else {
        return Ok(None);
    };
    let shown = read(console, &request.user, &CommandLine::new("show").operand(event_id)).await?;
    let cause = |name| shown.pointer(&format!("/event/{name}")).and_then(Value::as_str);
    let Some(fingerprint) = cause("error_fingerprint") else { return Ok(None) };
    // This one may be among them, and one more tells that there are more.
    let limit = (MOST + 2).to_string();
    let line = CommandLine::new("events")
        .option("fingerprint", Some(fingerprint))
        .option("kind", cause("error_kind"))
        .option("limit", Some(&limit));
    let listed = read_lines(console, &request.user, &line).await?;
    // Those that are due already go by themselves.
    let is_left = |event: &&Value| {
        event["event_id"] != event_id
            && ["stuck", "waiting"].iter().any(|state| event["state"] == *state)
    };
    let left: Vec<&Value> = listed.as_array().into_iter().flatten().filter(is_left).collect();
    let id = |event: &Value| event["id"].as_i64();
    let next = left.iter().find(|event| id(event) > id(&shown["event"])).or(left.first());
    let next_id = next.and_then(|event| event["event_id"].as_str());
    Ok(Some(json!({
        "event_id": next_id,
        "edit": next_id.and_then(|next_id| edit(operation, event_id, next_id)),
        "left": left.len().min(MOST),
        "is_capped": left.len() > MOST,
    })))
}

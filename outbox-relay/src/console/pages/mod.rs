//! The pages: each runs the commands that print what it shows.
//!
//! | file | pages |
//! |---|---|
//! | `overview` | `/` |
//! | `failures` | `/failures`, `/failures/{fingerprint}` |
//! | `events` | `/events`, `/aggregates/{type}/{id}` |
//! | `event` | `/events/{id}` |
//! | `dead_letters` | `/dead-letters`, its groups, `/dead-letters/{id}` |
//! | `lists` | `/pauses`, `/relays`, `/audit` |
//! | `about` | `/about` |
//! | `search` | `/search` |
//! | `confirm` | `/confirm/{action}` |
//! | `operation` | `/operations`, `/operations/{id}` |
//! | `back` | none: where a form leads back to |
//! | `kept` | none: whether something is kept of an event that is gone |
//! | `next_of_cause` | none: what else fails of the cause of an event that was mended |
//! | `what` | none: what an action will do, in words |

mod about;
mod back;
mod confirm;
mod dead_letters;
mod event;
mod events;
mod failures;
mod kept;
mod lists;
mod next_of_cause;
mod operation;
mod overview;
mod search;
mod what;

use std::collections::BTreeMap;

use poem::http::StatusCode;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Console;
use super::command_line::CommandLine;
use super::form::Form;
use super::invocation::InvocationError;
use super::users::User;
use crate::commands::paging::next_in_notes;

pub(super) use back::back;
pub(super) use operation::begin;

/// How a command begins that did not find what it was to show.
const ABSENT: &str = "there is no ";

/// A request for a page.
#[derive(Debug, Clone)]
pub(super) struct PageRequest {
    pub(super) user: User,
    /// The path without the prefix, in parts, decoded.
    pub(super) path: Vec<String>,
    pub(super) form: Form,
}

/// What a page shows.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) template: &'static str,
    pub(super) title: String,
    /// The part of the console that it belongs to.
    pub(super) section: &'static str,
    /// The command that shows the same.
    pub(super) command: Option<String>,
    pub(super) data: Value,
}

/// Why there is no page.
#[derive(Debug, Clone)]
pub(super) enum NoPage {
    /// There is nothing of that name.
    NotFound(String),
    /// The request makes no sense.
    Invalid(String),
    /// The user may not do it.
    Forbidden(String),
    /// A command failed.
    Failed(InvocationError),
    /// Another page has what was looked for: its path without the prefix.
    At(String),
}

impl From<InvocationError> for NoPage {
    fn from(error: InvocationError) -> Self {
        match error {
            InvocationError::Usage(what) => Self::Invalid(what),
            InvocationError::Failed(said) if said.starts_with(ABSENT) => Self::NotFound(said),
            error => Self::Failed(error),
        }
    }
}

impl NoPage {
    /// The status, a title, what is wrong, and what may help.
    pub(super) fn describe(&self) -> (StatusCode, &'static str, String, &'static str) {
        match self {
            Self::NotFound(what) => {
                (StatusCode::NOT_FOUND, "Not found", what.clone(), "Look for it in the search box.")
            }
            Self::Invalid(what) => (
                StatusCode::BAD_REQUEST,
                "That makes no sense",
                what.clone(),
                "Go back and change it.",
            ),
            Self::Forbidden(why) => (StatusCode::FORBIDDEN, "Not allowed", why.clone(), ""),
            Self::Failed(InvocationError::Busy(why)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "Busy", (*why).to_owned(), "")
            }
            Self::Failed(error @ InvocationError::TooSlow) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Too slow",
                error.to_string(),
                "Ask for less: a filter by type or time reads fewer rows.",
            ),
            Self::Failed(error @ InvocationError::Unavailable(_)) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "That could not be read",
                error.to_string(),
                "Try again soon. The command does the same, and may take longer with --timeout.",
            ),
            Self::Failed(error) => (
                StatusCode::BAD_GATEWAY,
                "That could not be read",
                error.to_string(),
                "The command does the same, and may take longer with --timeout.",
            ),
            Self::At(path) => (StatusCode::SEE_OTHER, "Elsewhere", path.clone(), ""),
        }
    }
}

/// Finds the page of a path.
pub(super) async fn find(console: &Console, request: &PageRequest) -> Result<Page, NoPage> {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        // In a box, as it awaits five commands at once.
        [] => Box::pin(overview::overview(console, request)).await,
        ["failures"] => failures::causes(console, request).await,
        ["failures", fingerprint] => failures::cause(console, request, fingerprint).await,
        ["events"] => events::events(console, request).await,
        ["events", event_id] => event::event(console, request, event_id).await,
        ["aggregates", aggregate_type, aggregate_id] => {
            events::aggregate(console, request, aggregate_type, aggregate_id).await
        }
        ["dead-letters"] => dead_letters::letters(console, request).await,
        ["dead-letters", "groups"] => dead_letters::groups(console, request).await,
        ["dead-letters", id] => dead_letters::letter(console, request, id).await,
        ["pauses"] => lists::pauses(console, request).await,
        ["relays"] => lists::relays(console, request).await,
        ["audit"] => lists::audit(console, request).await,
        ["about"] => about::about(console, request).await,
        ["search"] => search::search(console, request).await,
        ["confirm", action] => confirm::confirm(console, request, action).await,
        ["operations", id] => operation::operation(console, request, id).await,
        _ => Err(NoPage::NotFound("There is no such page.".to_owned())),
    }
}

/// Runs a command that prints one JSON document.
async fn read(console: &Console, user: &User, line: &CommandLine) -> Result<Value, NoPage> {
    Ok(console.commands.read(&line.arguments(), user).await?.value()?)
}

/// Runs a command that prints a JSON document a line.
async fn read_lines(console: &Console, user: &User, line: &CommandLine) -> Result<Value, NoPage> {
    Ok(Value::Array(console.commands.read(&line.arguments(), user).await?.values()?))
}

/// A member of a JSON document, as the text that it is: numbers keep all their digits.
fn raw_member<'a>(json: &'a str, path: &[&str]) -> Option<&'a str> {
    let (name, rest) = path.split_first()?;
    let members: BTreeMap<&str, &RawValue> = serde_json::from_str(json).ok()?;
    let member = members.get(name)?.get();
    if rest.is_empty() { Some(member) } else { raw_member(member, rest) }
}

/// A part of a list.
struct List {
    rows: Value,
    /// The address of the next page.
    next: Option<String>,
    /// Why there may be more although the page is not full.
    note: Option<String>,
}

/// Runs a command that prints a part of a list. `path` is the page's address, and `names` are the
/// fields of its query.
async fn read_list(
    console: &Console,
    request: &PageRequest,
    line: &CommandLine,
    path: &str,
    names: &[&str],
) -> Result<List, NoPage> {
    let line = line.clone().option("after", request.form.get("after"));
    let output = console.commands.read(&line.arguments(), &request.user).await?;
    let names: Vec<&str> = names.iter().copied().chain(["after"]).collect();
    let next = next_in_notes(&output.notes).map(|cursor| {
        format!("{}{path}?{}", console.prefix, request.form.query_with(&names, ("after", cursor)))
    });
    let mut notes = output.notes.lines().filter_map(|line| match line.split_once(": --after") {
        Some((note, _)) if note.starts_with("The search ended") => {
            Some(format!("{note}: the next page goes on."))
        }
        None if line.starts_with("More than ") => Some(line.to_owned()),
        _ => None,
    });
    let note = notes.next().map(|first| notes.fold(first, |all, note| format!("{all} {note}")));
    Ok(List { rows: Value::Array(output.values()?), next, note })
}

/// Fails unless the desk's database is configured.
fn require_desk(console: &Console) -> Result<(), NoPage> {
    if console.has_desk {
        return Ok(());
    }
    Err(NoPage::NotFound(
        "This console knows no table of dead letters: set DEAD_LETTERS_DATABASE_URL.".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_read_as_it_is_written() {
        let json =
            r#"{"event": {"headers": {"a": 1.10}, "x": "y"}, "payload": 12345678901234567890.1}"#;
        assert_eq!(raw_member(json, &["payload"]), Some("12345678901234567890.1"));
        assert_eq!(raw_member(json, &["event", "headers"]), Some(r#"{"a": 1.10}"#));
        assert_eq!(raw_member(json, &["event", "nothing"]), None);
        assert_eq!(raw_member(json, &["payload", "a"]), None);
    }
}

//! `/operations`: begins what was confirmed; `/operations/{id}`: shows how far it is.

use time::OffsetDateTime;
use uuid::Uuid;

use super::confirm::{needs_number, refusal};
use super::{NoPage, Page, PageRequest};
use crate::console::Console;
use crate::console::action::{Action, InputKind};
use crate::console::actions;
use crate::console::form::Form;
use crate::console::operations::{Operation, State};

/// Begins the operation of a confirmed form, and returns its number.
pub(in crate::console) fn begin(console: &Console, request: &PageRequest) -> Result<Uuid, NoPage> {
    let form = &request.form;
    let action = form.get("action").and_then(actions::find);
    let action = action.ok_or_else(|| NoPage::Invalid("The form names no action.".to_owned()))?;
    if let Some(why) = refusal(&request.user, action) {
        return Err(NoPage::Forbidden(why));
    }
    let id = form.get("operation").and_then(|id| id.parse::<Uuid>().ok());
    let id = id.ok_or_else(|| NoPage::Invalid("The form has no number.".to_owned()))?;
    check(action, form)?;
    let (line, contents) = action.confirmed(form);
    let count = form.get("expect");
    let what = match count {
        Some("1") => format!("{} 1 {}", action.verb, action.noun()),
        Some(count) => format!("{} {count} {}s", action.verb, action.noun()),
        None => format!("{} {}s", action.verb, action.noun()),
    };
    let operation = Operation {
        id,
        action: action.name.to_owned(),
        what,
        user: request.user.clone(),
        arguments: line.arguments(),
        contents,
        command: line.typed(),
        back: back(console, form),
        started_at: OffsetDateTime::now_utc(),
        state: State::Running,
    };
    console
        .operations
        .begin(&console.commands, operation)
        .map_err(|why| NoPage::Invalid(why.to_owned()))
}

/// Fails unless the form has what the action needs.
fn check(action: &Action, form: &Form) -> Result<(), NoPage> {
    let invalid = |text: String| Err(NoPage::Invalid(text));
    let count = form.get("expect").and_then(|count| count.parse::<u64>().ok());
    if action.has_filter && !action.is_named(form) && count.is_none() {
        return invalid("The form does not say how many are expected.".to_owned());
    }
    if needs_number(action, count) {
        let typed = form.get("typed").unwrap_or_default();
        let digits: String = typed.chars().filter(char::is_ascii_digit).collect();
        if digits.parse().ok() != count {
            return invalid(format!("Type the number {} to go on.", count.unwrap_or_default()));
        }
    }
    if action.needs_reason && form.get("reason").is_none() {
        return invalid("Give a reason: it stands in the audit table.".to_owned());
    }
    let blank = action
        .inputs
        .iter()
        .find(|input| input.kind == InputKind::RequiredLine && form.get(input.name).is_none());
    match blank {
        Some(input) => invalid(format!("Fill in: {}.", input.label)),
        None => Ok(()),
    }
}

/// The page to go on with: one of the console's own.
fn back(console: &Console, form: &Form) -> String {
    let back = form.get("back").unwrap_or_default();
    let own = format!("{}/", console.prefix);
    let is_own = back.starts_with(&own) && !back.starts_with("//") && !back.contains('\\');
    if is_own { back.to_owned() } else { own }
}

pub(super) fn operation(
    console: &Console,
    request: &PageRequest,
    id: &str,
) -> Result<Page, NoPage> {
    let found = id.parse().ok().and_then(|id| console.operations.find(id));
    let Some(found) = found else {
        return Err(NoPage::NotFound(
            "This console knows no such operation: it was restarted since, or has forgotten it. The audit page has what was done.".to_owned(),
        ));
    };
    // What others do stands in the audit table; what they typed need not.
    if found.user != request.user {
        return Err(NoPage::Forbidden(format!("{} has begun this operation.", found.user.name)));
    }
    let report = found.report();
    let data = serde_json::to_value(&report).unwrap_or_default();
    let title = found.what.clone();
    Ok(Page { template: "operation.html", title, section: "", command: Some(found.command), data })
}

//! `/operations`: begins what was confirmed, or stops it; `/operations/{id}`: shows how far it is.

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use super::back::back;
use super::confirm::{TYPED_IN, needs_number, refusal};
use super::next_of_cause::next_of_cause;
use super::{NoPage, Page, PageRequest};
use crate::console::Console;
use crate::console::action::{Action, InputKind, LONGEST_LINE, NAMED, Subject};
use crate::console::actions::{self, STOP};
use crate::console::form::Form;
use crate::console::invocation::InvocationError;
use crate::console::operations::{NotBegun, Operation, State};
use crate::console::rights::Rights;
use crate::console::verdict::verdict;

/// Begins the operation of a confirmed form, and returns its number. The action `stop` stops the
/// operation that has this number.
pub(in crate::console) fn begin(console: &Console, request: &PageRequest) -> Result<Uuid, NoPage> {
    let form = &request.form;
    if form.get("action") == Some(STOP) {
        return stop(console, request);
    }
    let action = form.get("action").and_then(actions::find);
    let action = action.ok_or_else(|| NoPage::Invalid("The form names no action.".to_owned()))?;
    if let Some(why) = refusal(&request.user, action) {
        return Err(NoPage::Forbidden(why));
    }
    let id = form.get("operation").and_then(|id| id.parse::<Uuid>().ok());
    let id = id.ok_or_else(|| NoPage::Invalid("The form has no number.".to_owned()))?;
    if console.hide_payloads && action.inputs.iter().any(|input| input.kind == InputKind::Contents)
    {
        return Err(NoPage::Forbidden(
            "This console hides payloads, and can't edit them.".to_owned(),
        ));
    }
    let count = check(action, form)?;
    check_lengths(action, form)?;
    let (line, contents) = action.confirmed(form);
    let what = match (action.subject, count) {
        (Subject::Pauses, _) => action.verb.to_owned(),
        (_, Some(1)) => format!("{} 1 {}", action.verb, action.noun()),
        (_, Some(count)) => format!("{} {count} {}s", action.verb, action.noun()),
        (_, None) => format!("{} {}s", action.verb, action.noun()),
    };
    let mut digest = Sha256::new();
    let reason = form.get("reason").map(ToOwned::to_owned);
    for part in line.arguments().iter().map(Some).chain([contents.as_ref(), reason.as_ref()]) {
        digest.update(part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
        digest.update(part.map(String::as_str).unwrap_or_default());
    }
    let operation = Operation {
        id,
        action: action.name.to_owned(),
        what,
        user: request.user.clone(),
        arguments: line.arguments(),
        is_paced: action.is_paced(form),
        again: contents.is_some().then(|| again(console, action, form, id)),
        contents,
        reason,
        digest: digest.finalize().into(),
        command: line.option("reason", form.get("reason")).typed(),
        back: back(&console.prefix, form),
        subject: subject(&console.prefix, action, form),
        started_at: OffsetDateTime::now_utc(),
        state: State::Waiting,
        progress: None,
        stop: console.commands.stop_token(),
        is_stopped: false,
    };
    console.operations.begin(&console.commands, &console.history, operation).map_err(|why| match why {
        NotBegun::TooMany => NoPage::Failed(InvocationError::Busy(
            "too many changes run or wait already: try again when one has ended",
        )),
        NotBegun::TooManyPaced => NoPage::Failed(InvocationError::Busy(
            "four changes that are kept to a rate run already, and leave room for others: try again when one has ended, stop one, or leave out the rate",
        )),
        NotBegun::AnotherForm => {
            NoPage::Invalid("This form was sent before, with other values.".to_owned())
        }
    })
}

/// The page of what is changed, if that is one event or dead letter.
fn subject(prefix: &str, action: &Action, form: &Form) -> Option<String> {
    let mut ids = form.all(action.id_field());
    let (id, None) = (ids.next()?, ids.next()) else { return None };
    let id: String = url::form_urlencoded::byte_serialize(id.trim().as_bytes()).collect();
    match action.subject {
        Subject::Events => Some(format!("{prefix}/events/{id}")),
        Subject::DeadLetters => Some(format!("{prefix}/dead-letters/{id}")),
        Subject::Pauses => None,
    }
}

/// The page on which an edit is made again, with what was typed in operation `id`.
fn again(console: &Console, action: &Action, form: &Form, id: Uuid) -> String {
    let lines = action.inputs.iter().filter(|input| input.kind != InputKind::Contents);
    let names = [action.id_field(), "back"].into_iter().chain(lines.map(|input| input.name));
    let names: Vec<&str> = names.collect();
    let query = form.query_with(&names, (TYPED_IN, &id.to_string()));
    format!("{}/confirm/{}?{query}", console.prefix, action.name)
}

/// Fails unless the form has what the action needs. Returns how many are changed, if that is known.
fn check(action: &Action, form: &Form) -> Result<Option<u64>, NoPage> {
    let invalid = |text: String| Err(NoPage::Invalid(text));
    let named = form.all(action.id_field()).collect::<HashSet<_>>().len();
    if named > NAMED {
        return invalid(format!("Name {NAMED} at the most."));
    }
    let expected = form.get("expect").and_then(|count| count.parse::<u64>().ok());
    let count = if named > 0 { u64::try_from(named).ok() } else { expected };
    if action.has_filter && count.is_none() {
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
    if let Some(input) = blank {
        return invalid(format!("Fill in: {}.", input.label));
    }
    Ok(count)
}

/// Fails if a field other than contents and the way back is long, or has a NUL: all are arguments
/// of a command, and are remembered.
fn check_lengths(action: &Action, form: &Form) -> Result<(), NoPage> {
    if let Some(name) = form.unusable() {
        return Err(NoPage::Invalid(format!("The field {name} has a NUL character.")));
    }
    match action.long_fields(form).next() {
        Some(name) => Err(NoPage::Invalid(format!(
            "The field {} is longer than {LONGEST_LINE} characters.",
            name.chars().take(50).collect::<String>()
        ))),
        None => Ok(()),
    }
}

/// Tells an operation to stop. One that has ended already stays as it is. Whoever may destroy can
/// stop what others have begun.
fn stop(console: &Console, request: &PageRequest) -> Result<Uuid, NoPage> {
    let id = request.form.get("operation");
    let found = match request.user.rights {
        Rights::Admin => find_any(console, id)?,
        Rights::Viewer | Rights::Operator => find(console, request, id)?,
    };
    if !matches!(found.state, State::Ended(_)) && !found.stop.is_cancelled() {
        tracing::info!(operation = %found.id, user = request.user.name, "a change is told to stop");
        found.stop.cancel();
    }
    Ok(found.id)
}

fn find_any(console: &Console, id: Option<&str>) -> Result<Operation, NoPage> {
    let id = id.and_then(|id| id.parse().ok());
    id.and_then(|id| console.operations.find(id)).ok_or_else(|| {
        NoPage::NotFound(
            "This console knows no such operation: it was restarted since, or has forgotten it. The audit page has what was done.".to_owned(),
        )
    })
}

/// The operation with this number, for who has begun it.
fn find(console: &Console, request: &PageRequest, id: Option<&str>) -> Result<Operation, NoPage> {
    let found = find_any(console, id)?;
    // What others do stands in the audit table; what they typed need not. The rights are those that
    // it was begun with.
    if found.user != request.user {
        return Err(NoPage::Forbidden(format!("{} has begun this operation.", found.user.name)));
    }
    Ok(found)
}

pub(super) async fn operation(
    console: &Console,
    request: &PageRequest,
    id: &str,
) -> Result<Page, NoPage> {
    let found = find(console, request, Some(id))?;
    let report = found.report();
    let mut data = serde_json::to_value(&report).unwrap_or_default();
    // It is done, whether or not that can be read.
    if let Ok(Some(next)) = next_of_cause(console, request, &found).await {
        data["next_of_cause"] = next;
    }
    if let (true, Some(Ok(status))) = (found.is_done(), console.history.latest()) {
        data["verdict"] = verdict(&console.prefix, &status);
    }
    let title = found.what.clone();
    Ok(Page { template: "operation.html", title, section: "", command: Some(found.command), data })
}

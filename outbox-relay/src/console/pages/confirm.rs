//! `/confirm/{action}`: what an action will do, to how many, with examples. Its form carries what
//! was counted, so that it changes nothing else.

use serde_json::{Value, json};
use uuid::Uuid;

use super::back::back;
use super::event::hide;
use super::kept::is_kept;
use super::what::what;
use super::{NoPage, Page, PageRequest, raw_member, read, require_desk};
use crate::console::Console;
use crate::console::action::{Action, Input, InputKind, NAMED, Subject};
use crate::console::actions;
use crate::console::command_line::CommandLine;
use crate::console::contents::Longest;
use crate::console::invocation::InvocationError;
use crate::console::json_text::indent;
use crate::console::operations::Operation;
use crate::console::users::User;

/// To destroy more than this, the person types the number.
pub(super) const MANY: u64 = 100;

/// How many that are named one by one are shown.
const EXAMPLES: usize = 10;

/// The field that names an operation whose contents were typed and not stored.
pub(super) const TYPED_IN: &str = "typed_in";

/// The field that names an event whose headers are proposed.
pub(super) const LIKE: &str = "like";

pub(super) async fn confirm(
    console: &Console,
    request: &PageRequest,
    name: &str,
) -> Result<Page, NoPage> {
    let action = actions::find(name);
    let action = action.ok_or_else(|| NoPage::NotFound(format!("There is no action {name}.")))?;
    if action.subject == Subject::DeadLetters {
        require_desk(console)?;
    }
    let form = &request.form;
    let mut ids: Vec<&str> = form.all(action.id_field()).collect();
    ids.sort_unstable();
    ids.dedup();
    if form.is_set("all") && action.inputs_of_names().any(|name| form.get(&name).is_some()) {
        return Err(NoPage::Invalid("Pause everything, or what is named: not both.".to_owned()));
    }
    if ids.len() > NAMED {
        return Err(NoPage::Invalid(format!("Select {NAMED} at the most, or all by a filter.")));
    }
    let mut selected = Selected::count(console, request, action, &ids).await?;
    if console.hide_payloads {
        for example in &mut selected.examples {
            hide(example, &["/payload", "/headers", "/properties", "/body", "/body_start"]);
        }
    }
    let why_not = refusal(&request.user, action);
    let mut fields = vec![
        json!({ "name": "operation", "value": Uuid::new_v4() }),
        json!({ "name": "back", "value": back(&console.prefix, form) }),
    ];
    for name in action.selecting_fields() {
        let values = form.all(&name).map(|value| json!({ "name": name, "value": value }));
        fields.extend(values);
    }
    if let Some(count) = selected.count {
        fields.push(json!({ "name": "expect", "value": count }));
    }
    if let Some(id) = &selected.up_to_id {
        fields.push(json!({ "name": "up_to_id", "value": id }));
    }
    let typed = typed_before(console, request, action);
    let (inputs, originals) = inputs(console, request, action, &ids, typed.as_ref()).await?;
    let reason = typed.and_then(|typed| typed.reason);
    fields.extend(originals);
    let line = action.selecting(form).flag("dry-run", action.has_filter);
    let data = json!({
        "action": action.name,
        "verb": action.verb,
        "noun": action.noun(),
        "what": what(action, !ids.is_empty(), selected.count),
        "count": selected.count,
        "examples": selected.examples,
        "up_to_id": selected.up_to_id,
        "fields": fields,
        "inputs": inputs,
        "needs_number": needs_number(action, selected.count),
        "needs_reason": action.needs_reason,
        "reason": reason.as_deref().or_else(|| form.get("reason")),
        "is_destroying": action.is_destroying,
        "back": back(&console.prefix, form),
        "allowed": why_not.is_none(),
        "why_not": why_not,
    });
    let title = format!("{} {}", action.verb, action.noun());
    let section = match action.subject {
        Subject::Events => "events",
        Subject::DeadLetters => "dead-letters",
        Subject::Pauses => "pauses",
    };
    Ok(Page { template: "confirm.html", title, section, command: Some(line.typed()), data })
}

/// Why the user may not do it, if so.
pub(super) fn refusal(user: &User, action: &Action) -> Option<String> {
    if user.rights >= action.rights {
        return None;
    }
    let (has, needs) = (user.rights.text(), action.rights.text());
    Some(format!("This needs the rights of {needs}; {} has those of {has}.", user.name))
}

/// Whether the person types the number.
pub(super) fn needs_number(action: &Action, count: Option<u64>) -> bool {
    action.is_destroying && count.is_some_and(|count| count > MANY)
}

/// What an action is about to change.
struct Selected {
    /// None for what can't be counted: pauses, say.
    count: Option<u64>,
    up_to_id: Option<Value>,
    examples: Vec<Value>,
}

impl Selected {
    async fn count(
        console: &Console,
        request: &PageRequest,
        action: &Action,
        ids: &[&str],
    ) -> Result<Self, NoPage> {
        if action.has_filter {
            let line = action.selecting(&request.form).flag("dry-run", true);
            // A note needs its text to be a command.
            let line = if action.name == "note" { line.flag("clear", true) } else { line };
            let line = if action.needs_reason { line.option("reason", Some("?")) } else { line };
            let counted = read(console, &request.user, &line).await?;
            return Ok(Self {
                count: counted.get("matched").and_then(Value::as_u64),
                up_to_id: counted.get("up_to_id").filter(|id| !id.is_null()).cloned(),
                examples: counted
                    .get("examples")
                    .and_then(Value::as_array)
                    .cloned()
                    .unwrap_or_default(),
            });
        }
        let mut examples = Vec::new();
        if action.subject != Subject::Pauses {
            let (command, field) = match action.subject {
                Subject::DeadLetters => ("dead-letters show", "dead_letter"),
                Subject::Events | Subject::Pauses => ("show", "event"),
            };
            for id in ids.iter().take(EXAMPLES) {
                let line = CommandLine::new(command).operand(*id);
                let shown = console.commands.show(&line, Longest::Nothing, &request.user).await;
                match shown.and_then(|shown| shown.value()).map_err(NoPage::from) {
                    Ok(shown) => examples.extend(shown.get(field).cloned()),
                    Err(NoPage::NotFound(_)) if is_kept(console, request, action, id).await? => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let count = u64::try_from(ids.len()).ok().filter(|count| *count > 0);
        Ok(Self { count, up_to_id: None, examples })
    }
}

/// The fields to fill in, and the contents as they were, by which a change is told.
async fn inputs(
    console: &Console,
    request: &PageRequest,
    action: &Action,
    ids: &[&str],
    typed: Option<&Operation>,
) -> Result<(Vec<Value>, Vec<Value>), NoPage> {
    let (mut inputs, mut originals) = (Vec::new(), Vec::new());
    for input in action.inputs {
        let mut now = None;
        let value = match input.kind {
            InputKind::Contents => {
                let (original, digest) = original(console, request, action, input, ids).await?;
                originals
                    .push(json!({ "name": format!("original_{}", input.name), "value": original }));
                originals.push(json!({ "name": "if_unchanged", "value": digest }));
                let like = match request.form.get(LIKE).filter(|_| input.name == "headers") {
                    Some(like) => {
                        Some(self::original(console, request, action, input, &[like]).await?.0)
                    }
                    None => None,
                };
                let before = typed.and_then(|typed| typed.contents.clone()).or(like);
                now = before.is_some().then(|| original.clone());
                Some(before.unwrap_or(original))
            }
            _ => request.form.get(input.name).map(ToOwned::to_owned),
        };
        inputs.push(json!({
            "name": input.name,
            "label": input.label,
            "hint": input.hint,
            "type": if input.kind == InputKind::Flag { "checkbox" } else { "text" },
            "required": input.kind == InputKind::RequiredLine,
            "rows": (input.kind == InputKind::Contents).then_some(12),
            "value": value.unwrap_or_default(),
            "now": now,
            "options": None::<Value>,
        }));
    }
    if action.name == "pause"
        && action.selecting_fields().iter().all(|name| request.form.get(name).is_none())
    {
        for (name, label) in
            [("type", "Type"), ("aggregate_type", "Aggregate type"), ("aggregate", "Aggregate id")]
        {
            inputs.insert(0, json!({ "name": name, "label": label, "type": "text", "value": "" }));
        }
    }
    Ok((inputs, originals))
}

/// The operation of this user in which contents for this action were typed and not stored, if the
/// form names one.
fn typed_before(console: &Console, request: &PageRequest, action: &Action) -> Option<Operation> {
    let id = request.form.get(TYPED_IN)?.parse().ok()?;
    let typed = console.operations.find(id)?;
    (typed.user == request.user && typed.action == action.name).then_some(typed)
}

/// The contents that are about to be edited, as text, and their digest.
async fn original(
    console: &Console,
    request: &PageRequest,
    action: &Action,
    input: &Input,
    ids: &[&str],
) -> Result<(String, Value), NoPage> {
    let [id] = ids else {
        return Err(NoPage::Invalid("Edit one at a time.".to_owned()));
    };
    if console.hide_payloads {
        return Err(NoPage::Forbidden(
            "This console hides payloads (CONSOLE_HIDE_PAYLOADS), and so can't edit them."
                .to_owned(),
        ));
    }
    let (command, path, cut): (_, &[&str], _) = match (action.subject, input.name) {
        (Subject::DeadLetters, _) => ("dead-letters show", &["body"], "/cut_body"),
        (_, "headers") => ("show", &["event", "headers"], "/event/headers_stored_bytes"),
        _ => ("show", &["payload"], "/cut_payload"),
    };
    let line = CommandLine::new(command).operand(*id);
    let shown = console.commands.show(&line, Longest::Edited, &request.user).await?;
    let document = shown.value()?;
    // Without the digest of large contents nobody would be kept from undoing another one's edit.
    let cuts = ["/cut_payload", "/event/headers_stored_bytes"];
    let is_unguarded =
        document.get("digest").is_none() && cuts.iter().any(|cut| document.pointer(cut).is_some());
    if document.pointer(cut).is_some() || is_unguarded {
        return Err(NoPage::Invalid(
            "Its contents are too large for a page: edit them with the command, from a file."
                .to_owned(),
        ));
    }
    let contents = raw_member(&shown.text, path).filter(|contents| *contents != "null");
    let digest = document.get("digest").cloned().unwrap_or_default();
    let text = match contents {
        // The text of a body is a string in this document.
        Some(contents) if action.subject == Subject::DeadLetters => {
            let text: String = serde_json::from_str(contents)
                .map_err(|error| NoPage::Failed(InvocationError::Broken(error.to_string())))?;
            if text.contains(['\r', '\0']) {
                return Err(NoPage::Invalid(
                    "A form would change its line ends: edit it with the command, from a file."
                        .to_owned(),
                ));
            }
            text
        }
        Some(contents) => indent(contents),
        None => {
            return Err(NoPage::Invalid(
                "Its contents are no text: edit them with the command, from a file.".to_owned(),
            ));
        }
    };
    Ok((text, digest))
}

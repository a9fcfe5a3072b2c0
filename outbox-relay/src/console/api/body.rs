//! A change as JSON. It becomes the form that a page of confirmation sends, so that both do the
//! same.

use std::collections::HashSet;

use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::members::Members;
use super::values;
use crate::console::action::{Action, InputKind, LONGEST_LINE, NAMED, Subject};
use crate::console::actions::{self, STOP};
use crate::console::form::Form;

/// The fields of every action.
pub(super) const COMMON: [&str; 3] = ["action", "operation", "reason"];

/// The fields that say yes or no, beside those that a person ticks.
const FLAGS: [&str; 2] = ["stuck", "all"];

/// The longest member that is no contents, in bytes: a thousand ids fit.
const LONGEST: usize = 64 * 1024;

/// How many faults are named.
const FAULTS: usize = 20;

/// Reads a change.
///
/// # Errors
/// A sentence for each fault, which names the field and what to do.
pub(in crate::console) fn form(json: &[u8]) -> Result<Form, Vec<String>> {
    let Members(members) = serde_json::from_slice(json)
        .map_err(|error| vec![format!("The body is no change as JSON: {error}.")])?;
    let name = members.iter().find(|(name, _)| name == "action");
    let name = name.and_then(|(_, value)| serde_json::from_str::<String>(value.get()).ok());
    let name = name.unwrap_or_default();
    if name == STOP {
        return stop(&members);
    }
    let Some(action) = actions::find(&name) else {
        let names = actions::names().collect::<Vec<_>>().join(", ");
        return Err(vec![format!("`action` must be one of {names}, {STOP}.")]);
    };
    let known = Known::of(action);
    let (mut fields, mut faults): (Vec<(String, String)>, _) = (Vec::new(), Vec::new());
    for (name, value) in &members {
        if faults.len() == FAULTS {
            return Err(faults);
        }
        match known.read(action, name, value) {
            Err(fault) => faults.push(fault),
            Ok(_) if fields.iter().any(|(field, _)| field == name) => {
                faults.push(format!("`{name}` is there twice: leave one out."));
            }
            Ok(texts) => fields.extend(texts.into_iter().map(|text| (name.clone(), text))),
        }
    }
    let form = Form::of(fields.clone());
    faults.extend(missing(action, &known, &form));
    faults.extend(too_long(action, &form));
    faults.extend(values::faults(action, &form, FAULTS.saturating_sub(faults.len())));
    if !faults.is_empty() {
        return Err(faults);
    }
    // A person types the number of what is destroyed; a program has given it.
    let named = form.all(action.id_field()).collect::<HashSet<_>>().len();
    let count = if named > 0 { named.to_string() } else { text(&form, "expect") };
    fields.push(("typed".to_owned(), count));
    if form.get("operation").is_none() {
        fields.push(("operation".to_owned(), Uuid::new_v4().to_string()));
    }
    Ok(Form::of(fields))
}

/// The form that stops an operation.
fn stop(members: &[(String, &RawValue)]) -> Result<Form, Vec<String>> {
    let id = members.iter().find(|(name, _)| name == "operation");
    let id = id.and_then(|(_, value)| serde_json::from_str::<Uuid>(value.get()).ok());
    match (id, members.len()) {
        (Some(id), 2) => Ok(Form::of(
            [("action", STOP.to_owned()), ("operation", id.to_string())]
                .map(|(name, value)| (name.to_owned(), value))
                .to_vec(),
        )),
        _ => Err(vec![format!("`{STOP}` has one field, `operation`: the id of what is stopped.")]),
    }
}

/// The fields that an action has.
pub(super) struct Known {
    /// That which names each of what is changed.
    pub(super) ids: Option<&'static str>,
    /// Those that select what is changed.
    pub(super) filters: Vec<String>,
    /// Those that a person fills in.
    pub(super) inputs: Vec<&'static str>,
    /// What was counted, or shown: if it is another one by now, nothing is done.
    pub(super) seen: &'static [&'static str],
}

impl Known {
    pub(super) fn of(action: &Action) -> Self {
        let names = action.filters().iter();
        let mut filters: Vec<String> = names.map(|name| name.replace('-', "_")).collect();
        filters.extend(action.knows_stuck().then(|| "stuck".to_owned()));
        filters.extend((action.subject == Subject::Pauses).then(|| "all".to_owned()));
        Self {
            ids: (action.name != "pause").then(|| action.id_field()),
            filters,
            inputs: action.inputs.iter().map(|input| input.name).collect(),
            seen: match action.inputs.iter().any(|input| input.kind == InputKind::Contents) {
                _ if action.has_filter => &["expect", "up_to_id"],
                true => &["if_unchanged"],
                false => &[],
            },
        }
    }

    /// Reads a member as the texts of a form.
    fn read(&self, action: &Action, name: &str, value: &RawValue) -> Result<Vec<String>, String> {
        if !self.all().any(|known| known == name) {
            let name: String = name.chars().take(50).collect();
            let known = self.all().collect::<Vec<_>>().join(", ");
            return Err(format!(
                "`{name}` is no field of {}: leave it out. It has {known}.",
                action.name
            ));
        }
        let of_input = action.inputs.iter().find(|input| input.name == name);
        let kind = of_input.map(|input| input.kind);
        if value.get().len() > LONGEST && kind != Some(InputKind::Contents) {
            return Err(format!("`{name}` is too long."));
        }
        let value: Value =
            serde_json::from_str(value.get()).map_err(|error| format!("`{name}`: {error}."))?;
        let is_flag = kind == Some(InputKind::Flag) || FLAGS.contains(&name);
        texts(&value, name == action.id_field(), is_flag)
            .map_err(|wrong| format!("`{name}` {wrong}."))
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        let own = self.ids.iter().chain(&self.inputs).chain(self.seen).chain(&COMMON);
        self.filters.iter().map(String::as_str).chain(own.copied())
    }
}

/// The values of a member as the texts of a form.
fn texts(value: &Value, may_be_many: bool, is_flag: bool) -> Result<Vec<String>, &'static str> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Bool(is) if is_flag => Ok(vec![is.to_string()]),
        _ if is_flag => Err("must be true or false"),
        Value::Bool(_) => Err("must be text or a number"),
        Value::String(text) if text.contains('\0') => Err("has a NUL character"),
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Number(number) if number.is_i64() || number.is_u64() => Ok(vec![number.to_string()]),
        Value::Number(_) => Err("must be a whole number"),
        Value::Array(values) if may_be_many => {
            let texts = values.iter().map(|value| match value {
                Value::Array(_) => Err("must be a list of ids"),
                value => texts(value, false, false),
            });
            Ok(texts.collect::<Result<Vec<_>, _>>()?.concat())
        }
        Value::Array(_) => Err("must be one value, not a list"),
        Value::Object(_) => Err("must be text or a number: write JSON as text"),
    }
}

/// What an action lacks, or must not have.
fn missing(action: &Action, known: &Known, form: &Form) -> Vec<String> {
    let mut faults = Vec::new();
    let is_given = |name: &str| match FLAGS.contains(&name) {
        true => form.is_set(name),
        false => form.get(name).is_some(),
    };
    let filters = || known.filters.iter().filter(|name| is_given(name));
    let (ids, names) = (action.id_field(), known.filters.join("`, `"));
    let is_named = action.is_named(form);
    if is_named && let Some(filter) = filters().next() {
        faults.push(format!("`{ids}` names them already: leave out `{filter}`, or `{ids}`."));
    }
    if !is_named && filters().next().is_none() {
        faults.push(match (known.ids, known.filters.is_empty()) {
            (Some(ids), true) => format!("`{ids}` is missing: name each {}.", action.noun()),
            (Some(ids), false) => {
                format!("Nothing is selected: give `{ids}`, or a filter: `{names}`.")
            }
            (None, _) => format!("Nothing is named: give one of `{names}`."),
        });
    }
    if action.has_filter && !is_named {
        let counted = format!("GET /api/confirm/{} with the same filter has it", action.name);
        if form.get("expect").is_none() {
            faults.push(format!("`expect` is missing: how many match now; {counted} as `count`."));
        }
        if form.get("up_to_id").is_none() && form.get("expect") != Some("0") {
            faults.push(format!(
                "`up_to_id` is missing: the highest id that was counted; {counted}."
            ));
        }
    }
    let named = form.all(ids).collect::<HashSet<_>>().len();
    if is_named && form.get("expect").is_some_and(|expect| expect != named.to_string()) {
        let expect = text(form, "expect");
        faults
            .push(format!("`expect` is {expect}, and `{ids}` names {named}: correct one of them."));
    }
    if named > NAMED {
        faults.push(format!("`{ids}` names {named}: name {NAMED} at the most, or give a filter."));
    }
    if action.needs_reason && form.get("reason").is_none() {
        faults.push("`reason` is missing: give one, for the audit table.".to_owned());
    }
    let required = action.inputs.iter().filter(|input| input.kind == InputKind::RequiredLine);
    for input in required.filter(|input| form.get(input.name).is_none()) {
        faults.push(format!("`{}` is missing: {}.", input.name, input.hint.to_lowercase()));
    }
    if form.get("operation").is_some_and(|id| id.parse::<Uuid>().is_err()) {
        faults.push("`operation` is no UUID: give one of your own, or leave it out.".to_owned());
    }
    faults
}

fn text(form: &Form, name: &str) -> String {
    form.get(name).unwrap_or_default().to_owned()
}

/// A sentence for each field that is too long for an argument of a command.
fn too_long(action: &Action, form: &Form) -> Vec<String> {
    let fields = action.long_fields(form);
    let fault =
        |name: &str| format!("`{name}` is longer than {LONGEST_LINE} characters: shorten it.");
    fields.map(fault).collect()
}

#[cfg(test)]
mod tests;

//! A change as JSON. It becomes the form that a page of confirmation sends, so that both do the
//! same.

use std::collections::HashSet;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::console::action::{Action, EVENT_FILTERS, InputKind, LETTER_FILTERS, Subject};
use crate::console::actions;
use crate::console::form::Form;

/// The fields of every action.
const COMMON: [&str; 3] = ["action", "operation", "reason"];

/// What a pause names.
const PAUSE_NAMES: [&str; 3] = ["type", "aggregate_type", "aggregate"];

/// Reads a change.
///
/// # Errors
/// A sentence for each fault, which names the field and what to do.
pub(in crate::console) fn form(json: &[u8]) -> Result<Form, Vec<String>> {
    let members: Map<String, Value> = serde_json::from_slice(json)
        .map_err(|error| vec![format!("The body is no JSON object: {error}.")])?;
    let name = members.get("action").and_then(Value::as_str).unwrap_or_default();
    let Some(action) = actions::find(name) else {
        let names = actions::names().collect::<Vec<_>>().join(", ");
        return Err(vec![format!("`action` must be one of {names}.")]);
    };
    let known = Known::of(action);
    let (mut fields, mut faults) = (Vec::new(), Vec::new());
    for (name, value) in &members {
        if !known.all().any(|known| known == name) {
            let known = known.all().collect::<Vec<_>>().join(", ");
            faults.push(format!(
                "`{name}` is no field of {}: leave it out. It has {known}.",
                action.name
            ));
            continue;
        }
        match texts(value, name == action.id_field()) {
            Ok(texts) => fields.extend(texts.into_iter().map(|text| (name.clone(), text))),
            Err(wrong) => faults.push(format!("`{name}` {wrong}.")),
        }
    }
    let form = Form::of(fields.clone());
    faults.extend(missing(action, &known, &form));
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

/// The fields that an action has.
struct Known {
    ids: Option<&'static str>,
    /// Those that select what is changed.
    filters: Vec<String>,
    inputs: Vec<&'static str>,
    /// What was counted, or shown: if it is another one by now, nothing is done.
    seen: &'static [&'static str],
}

impl Known {
    fn of(action: &Action) -> Self {
        let names: &[&str] = match action.subject {
            Subject::Events if action.has_filter => &EVENT_FILTERS,
            Subject::DeadLetters if action.has_filter => &LETTER_FILTERS,
            Subject::Pauses => &PAUSE_NAMES,
            Subject::Events | Subject::DeadLetters => &[],
        };
        let mut filters: Vec<String> = names.iter().map(|name| name.replace('-', "_")).collect();
        filters.extend(matches!(action.name, "retry" | "discard").then(|| "stuck".to_owned()));
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

    fn all(&self) -> impl Iterator<Item = &str> {
        let own = self.ids.iter().chain(&self.inputs).chain(self.seen).chain(&COMMON);
        self.filters.iter().map(String::as_str).chain(own.copied())
    }
}

/// The values of a member as the texts of a form.
fn texts(value: &Value, may_be_many: bool) -> Result<Vec<String>, &'static str> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Bool(is) => Ok(vec![is.to_string()]),
        Value::Number(number) if number.is_i64() || number.is_u64() => Ok(vec![number.to_string()]),
        Value::Number(_) => Err("must be a whole number"),
        Value::Array(values) if may_be_many => {
            let texts = values.iter().map(|value| match value {
                Value::Array(_) => Err("must be a list of ids"),
                value => texts(value, false),
            });
            Ok(texts.collect::<Result<Vec<_>, _>>()?.concat())
        }
        Value::Array(_) => Err("must be one value, not a list"),
        Value::Object(_) => Err("must be text, a number, or true or false: write JSON as text"),
    }
}

/// What an action lacks, or must not have.
fn missing(action: &Action, known: &Known, form: &Form) -> Vec<String> {
    let mut faults = Vec::new();
    let filters = || known.filters.iter().filter(|name| form.is_set(name));
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
        if number(form, "expect").is_none() {
            faults.push(format!(
                "`expect` is missing or no number: how many match now; {counted} as `count`."
            ));
        } else if number(form, "up_to_id").is_none() && text(form, "expect") != "0" {
            faults.push(format!(
                "`up_to_id` is missing or no number: the highest id that was counted; {counted}."
            ));
        }
    }
    let named = form.all(ids).collect::<HashSet<_>>().len();
    if is_named && form.get("expect").is_some_and(|expect| expect != named.to_string()) {
        let expect = text(form, "expect");
        faults
            .push(format!("`expect` is {expect}, and `{ids}` names {named}: correct one of them."));
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

fn number(form: &Form, name: &str) -> Option<i64> {
    form.get(name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &Value) -> Result<Form, Vec<String>> {
        form(json.to_string().as_bytes())
    }

    #[test]
    fn a_change_becomes_the_form_of_a_page() {
        let json = serde_json::json!({
            "action": "discard", "type": "order.created", "stuck": true, "expect": 300,
            "up_to_id": 9_007_199_254_740_993_i64, "reason": "a test",
        });
        let form = read(&json).expect("a form");
        let discard = actions::find("discard").expect("an action");
        assert_eq!(
            discard.confirmed(&form).0.typed(),
            "outbox-relay discard --type order.created --stuck --expect 300 --up-to-id 9007199254740993"
        );
        assert_eq!(form.get("reason"), Some("a test"));
        assert_eq!(form.get("typed"), Some("300"));
        assert!(form.get("operation").is_some_and(|id| id.parse::<Uuid>().is_ok()));
        let many = serde_json::json!({"action": "return", "id": [7, "8", 8], "rate": "50/s"});
        let form = read(&many).expect("a form");
        assert_eq!((form.all("id").count(), form.get("typed")), (3, Some("2")));
    }

    #[test]
    fn each_fault_is_named_with_its_remedy() {
        for (json, said) in [
            (serde_json::json!({"action": "destroy"}), "`action` must be one of retry, discard,"),
            (
                serde_json::json!({"action": "retry", "typ": "x", "stuck": true, "expect": 1, "up_to_id": 1}),
                "`typ` is no field of retry: leave it out. It has aggregate, ",
            ),
            (
                serde_json::json!({"action": "retry", "stuck": true}),
                "`expect` is missing or no number: how many match now; GET /api/confirm/retry",
            ),
            (
                serde_json::json!({"action": "retry", "stuck": true, "expect": 2}),
                "`up_to_id` is missing or no number",
            ),
            (
                serde_json::json!({"action": "retry", "stuck": true, "expect": 1.5, "up_to_id": 1}),
                "`expect` must be a whole number",
            ),
            (
                serde_json::json!({"action": "retry", "expect": 1, "up_to_id": 1}),
                "Nothing is selected",
            ),
            (
                serde_json::json!({"action": "retry", "event_id": "x", "type": "y"}),
                "`event_id` names them already: leave out `type`",
            ),
            (
                serde_json::json!({"action": "retry", "event_id": ["x", "y"], "expect": 3}),
                "`expect` is 3, and `event_id` names 2",
            ),
            (serde_json::json!({"action": "forget", "event_id": "x"}), "`reason` is missing"),
            (serde_json::json!({"action": "edit", "reason": "x"}), "`event_id` is missing"),
            (serde_json::json!({"action": "edit", "payload": {}}), "`payload` must be text"),
            (
                serde_json::json!({"action": "retry", "if_unchanged": "x"}),
                "`if_unchanged` is no field of retry",
            ),
            (
                serde_json::json!({"action": "pause", "reason": "x"}),
                "Nothing is named: give one of",
            ),
            (serde_json::json!({"action": "pause", "pause_id": 1}), "`pause_id` is no field"),
            (serde_json::json!({"action": "note", "id": 1}), "`text` is missing: in place of"),
            (serde_json::json!({"action": "retry", "type": ["a"]}), "`type` must be one value"),
            (serde_json::json!({"action": "retry", "operation": "1"}), "`operation` is no UUID"),
            (serde_json::json!([]), "The body is no JSON object"),
        ] {
            let faults = read(&json).expect_err(said);
            assert!(faults.iter().any(|fault| fault.starts_with(said)), "{json}: {faults:?}");
        }
    }
}

//! Whether the command of an action would take the values that it is given: each is parsed as the
//! command line does it, so that all wrong ones are named at once.

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Command, CommandFactory as _};
use uuid::Uuid;

use crate::cli::Cli;
use crate::commands::validate_json;
use crate::console::action::{Action, InputKind, LONGEST_LINE, Subject};
use crate::console::form::Form;

/// How much of a wrong value is repeated, in characters.
const REPEATED: usize = 100;

/// Returns a sentence for each value that the command would refuse, `most` at the most.
pub(super) fn faults(action: &Action, form: &Form, most: usize) -> Vec<String> {
    let ids = form.all(action.id_field()).filter_map(|id| wrong_id(action, id));
    let contents = action.inputs.iter().filter(|input| input.kind == InputKind::Contents);
    let contents = contents.filter_map(|input| {
        let wrong = validate_json(form.get(input.name)?).err()?;
        (action.subject == Subject::Events)
            .then(|| format!("`{}` is no JSON: {wrong}.", input.name))
    });
    let mut faults: Vec<String> = ids.chain(contents).take(most).collect();
    let program = Cli::command();
    let (line, _) = action.confirmed(form);
    let line = line.option("reason", form.get("reason"));
    for option in line.values() {
        if faults.len() < most && option.len() <= LONGEST_LINE {
            faults.extend(wrong_value(&program, action, option));
        }
    }
    if faults.is_empty() {
        faults.extend(contradiction(program, line.arguments()));
    }
    faults
}

/// What is wrong with an id, if anything.
fn wrong_id(action: &Action, id: &str) -> Option<String> {
    let (is_id, kind) = match action.subject {
        Subject::Events => (id.trim().parse::<Uuid>().is_ok(), "no UUID"),
        Subject::DeadLetters | Subject::Pauses => {
            (id.trim().parse::<i64>().is_ok(), "no whole number")
        }
    };
    let field = action.id_field();
    (!is_id).then(|| format!("`{field}` has {}, which is {kind}.", repeated(id)))
}

/// What is wrong with the value of an option, if anything.
fn wrong_value(program: &Command, action: &Action, option: &str) -> Option<String> {
    let (name, value) = option.strip_prefix("--")?.split_once('=')?;
    let words = ["outbox-relay"].into_iter().chain(action.command.split(' ')).chain([option]);
    let error = program.clone().try_get_matches_from(words).err()?;
    // An argument that is missing is none of its faults.
    if !names(&error, ContextKind::InvalidArg).iter().any(|named| named == name) {
        return None;
    }
    let why = match error.kind() {
        ErrorKind::ValueValidation if ["expect", "up-to-id"].contains(&name) => {
            "it must be a whole number, not below 0".to_owned()
        }
        ErrorKind::ValueValidation => std::error::Error::source(&error)?.to_string(),
        ErrorKind::InvalidValue => match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(known)) => format!("it must be one of {}", known.join(", ")),
            _ => "it has no such value".to_owned(),
        },
        _ => return None,
    };
    Some(format!("`{}` is {}: {why}.", field(name), repeated(value)))
}

/// Which options exclude each other, if any.
fn contradiction(program: Command, arguments: Vec<String>) -> Option<String> {
    let words = ["outbox-relay".to_owned()].into_iter().chain(arguments);
    let error = program.try_get_matches_from(words).err()?;
    if error.kind() != ErrorKind::ArgumentConflict {
        return None;
    }
    let fields = |kind| {
        let fields = names(&error, kind);
        fields.iter().map(|name| format!("`{}`", field(name))).collect::<Vec<_>>().join(", ")
    };
    let (one, others) = (fields(ContextKind::InvalidArg), fields(ContextKind::PriorArg));
    Some(format!("{one} can't be given together with {others}."))
}

/// The options that an error is about, without their dashes and values.
fn names(error: &Error, kind: ContextKind) -> Vec<String> {
    let shown = match error.get(kind) {
        Some(ContextValue::String(one)) => std::slice::from_ref(one),
        Some(ContextValue::Strings(many)) => many.as_slice(),
        _ => &[],
    };
    let name = |shown: &String| {
        let name = shown.split([' ', '=']).next().unwrap_or_default();
        name.trim_start_matches('-').to_owned()
    };
    shown.iter().map(name).collect()
}

/// The field that becomes an option.
fn field(option: &str) -> String {
    option.replace('-', "_")
}

/// A wrong value, as far as it is repeated.
fn repeated(value: &str) -> String {
    let shown = value.chars().take(REPEATED).map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let rest = if value.chars().nth(REPEATED).is_some() { "…" } else { "" };
    format!("“{}{rest}”", shown.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::actions;

    fn said(action: &str, fields: &[(&str, &str)], most: usize) -> Vec<String> {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        faults(actions::find(action).expect("an action"), &Form::of(fields.collect()), most)
    }

    #[test]
    fn all_wrong_values_are_named_at_once() {
        let wrong = [
            ("kind", "x"),
            ("fingerprint", "1"),
            ("since", "soon"),
            ("rate", "fast"),
            ("expect", "-1"),
            ("reason", "two\nlines"),
        ];
        let faults = said("return", &wrong, 20);
        for (begin, end) in [
            ("`kind` is “x”: it must be one of ", "."),
            ("`fingerprint` is “1”: it must be 16 hexadecimal digits", "."),
            ("`since` is “soon”: ", "."),
            ("`rate` is “fast”: ", "."),
            ("`expect` is “-1”: it must be a whole number, not below 0", "."),
        ] {
            let is_said = |fault: &String| fault.starts_with(begin) && fault.ends_with(end);
            assert!(faults.iter().any(is_said), "{begin}: {faults:?}");
        }
        assert_eq!(said("return", &wrong, 2).len(), 2);
        let right = [("kind", "rejected"), ("since", "2h"), ("rate", "50/s"), ("expect", "3")];
        assert_eq!(said("return", &right, 20), [] as [&str; 0]);
    }

    #[test]
    fn ids_and_json_are_read_and_what_excludes_each_other_is_named() {
        let faults = said("discard", &[("event_id", "7"), ("event_id", "8\n")], 20);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert_eq!(faults[0], "`event_id` has “7”, which is no UUID.");
        assert_eq!(said("return", &[("id", "x")], 20), ["`id` has “x”, which is no whole number."]);
        let edit = [("event_id", "0190163d-8694-739b-aea5-966c26f8ad91"), ("payload", "{")];
        let faults = said("edit", &edit, 20);
        assert!(faults[0].starts_with("`payload` is no JSON: "), "{faults:?}");
        let faults = said("pause", &[("all", "true"), ("type", "a")], 20);
        assert!(faults[0].contains("can't be given together with"), "{faults:?}");
    }
}

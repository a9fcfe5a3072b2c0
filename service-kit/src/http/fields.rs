//! Reads the members of a JSON object one by one and collects every fault.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::json::{FromJson, Json};

/// The members of a JSON object that have not been read yet.
#[derive(Debug)]
pub struct Fields<'a, 'f> {
    path: String,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    faults: &'f mut Vec<String>,
}

impl<'a, 'f> Fields<'a, 'f> {
    /// Creates the fields of the object at `path`, which is empty for the body itself.
    pub(super) fn new(
        path: String,
        members: Vec<(Cow<'a, str>, &'a RawValue)>,
        faults: &'f mut Vec<String>,
    ) -> Self {
        let mut fields = Self { path, members: Vec::with_capacity(members.len()), faults };
        let mut names = BTreeSet::new();
        for (name, value) in members {
            if names.insert(name.clone()) {
                fields.members.push((name, value));
            } else {
                let full = fields.full_name(&name);
                fields.faults.push(format!("{full} is given more than once"));
            }
        }
        fields
    }

    /// Parses the member `name`. Returns `None` and records the faults if it is missing or invalid.
    pub fn required<T: FromJson>(&mut self, name: &str) -> Option<T> {
        let value = self.take(name)?;
        match T::from_json(value) {
            Ok(parsed) => Some(parsed),
            Err(faults) => {
                let full = self.full_name(name);
                let sentences = faults.into_iter().map(|fault| format!("{full} {fault}"));
                self.faults.extend(sentences);
                None
            }
        }
    }

    /// Parses the object `name` with `read`. Its unknown members are faults.
    pub fn object<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Fields<'a, '_>) -> Option<T>,
    ) -> Option<T> {
        let full = self.full_name(name);
        match self.take(name)? {
            Json::Object(members) => {
                let mut inner = Fields::new(full, members, self.faults);
                let parsed = read(&mut inner);
                inner.finish();
                parsed
            }
            other => {
                self.faults.push(format!("{full} must be an object, not {}", other.kind()));
                None
            }
        }
    }

    /// Records every member that was not read as unknown.
    pub(super) fn finish(self) {
        for (name, _) in &self.members {
            let full = self.full_name(name);
            self.faults.push(format!("{full} is unknown"));
        }
    }

    fn take(&mut self, name: &str) -> Option<Json<'a>> {
        let Some(at) = self.members.iter().position(|(member, _)| member == name) else {
            let full = self.full_name(name);
            self.faults.push(format!("{full} is missing"));
            return None;
        };
        let (_, raw) = self.members.remove(at);
        let read = Json::read(raw);
        if read.is_err() {
            let full = self.full_name(name);
            self.faults.push(format!("{full} holds an escape that is no character"));
        }
        read.ok()
    }

    fn full_name(&self, name: &str) -> String {
        let name = display_name(name);
        if self.path.is_empty() { name } else { format!("{}.{name}", self.path) }
    }
}

/// Returns a name from a client as an error message shows it: cut short, and quoted if it has
/// unusual characters.
pub(super) fn display_name(name: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    if !name.is_empty() && name.len() <= 64 && name.chars().all(plain) {
        return name.to_owned();
    }
    let short: String = name.chars().take(64).collect();
    let dots = if short.len() < name.len() { "…" } else { "" };
    format!("{short:?}{dots}")
}

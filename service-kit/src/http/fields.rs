//! An object's members, read one by one while every fault is collected.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::json::{FromJson, Json};

/// The members of a JSON object that nobody has asked for yet.
#[derive(Debug)]
pub struct Fields<'a, 'f> {
    path: String,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    faults: &'f mut Vec<String>,
}

impl<'a, 'f> Fields<'a, 'f> {
    /// The members of the object that stands at `path`, which is empty for the body itself.
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
                let full = fields.full(&name);
                fields.faults.push(format!("{full} is given more than once"));
            }
        }
        fields
    }

    /// The member `name` parsed; nothing, and a fault or several, when it is missing or wrong.
    pub fn required<T: FromJson>(&mut self, name: &str) -> Option<T> {
        let value = self.take(name)?;
        match T::from_json(value) {
            Ok(parsed) => Some(parsed),
            Err(faults) => {
                let full = self.full(name);
                let sentences = faults.into_iter().map(|fault| format!("{full} {fault}"));
                self.faults.extend(sentences);
                None
            }
        }
    }

    /// The object `name`, read by `read`; its unknown members are faults.
    pub fn object<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Fields<'a, '_>) -> Option<T>,
    ) -> Option<T> {
        let full = self.full(name);
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

    /// Whatever nobody asked for is unknown.
    pub(super) fn finish(self) {
        for (name, _) in &self.members {
            let full = self.full(name);
            self.faults.push(format!("{full} is unknown"));
        }
    }

    fn take(&mut self, name: &str) -> Option<Json<'a>> {
        let Some(at) = self.members.iter().position(|(member, _)| member == name) else {
            let full = self.full(name);
            self.faults.push(format!("{full} is missing"));
            return None;
        };
        let (_, raw) = self.members.remove(at);
        let read = Json::read(raw);
        if read.is_err() {
            let full = self.full(name);
            self.faults.push(format!("{full} holds an escape that is no character"));
        }
        read.ok()
    }

    fn full(&self, name: &str) -> String {
        let name = shown(name);
        if self.path.is_empty() { name } else { format!("{}.{name}", self.path) }
    }
}

/// A name that a client sent, as a sentence may repeat it: short, and quoted when it is odd.
pub(super) fn shown(name: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    if !name.is_empty() && name.len() <= 64 && name.chars().all(plain) {
        return name.to_owned();
    }
    let short: String = name.chars().take(64).collect();
    let dots = if short.len() < name.len() { "…" } else { "" };
    format!("{short:?}{dots}")
}

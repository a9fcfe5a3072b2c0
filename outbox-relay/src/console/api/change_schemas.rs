//! The changes that programs ask for, as the document shows them: what each action takes for those
//! that are named one by one, and for those that a filter selects.

use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use serde_json::Value;

use super::body::{COMMON, Known};
use super::schemas::NewOperation;
use crate::console::action::{Action, InputKind};
use crate::console::actions::{self, STOP};

/// The name of the schema of a change.
const NAME: &str = "NewOperation";

/// The schema of a change.
pub(super) fn schema_ref() -> MetaSchemaRef {
    MetaSchemaRef::Reference(NAME.to_owned())
}

/// Registers the schema of a change, which is one of those of the actions.
pub(super) fn register(registry: &mut Registry) {
    let all = Registry::new().create_fake_schema::<NewOperation>();
    let mut changes = Vec::new();
    for action in actions::all() {
        let known = Known::of(action);
        if let Some(ids) = known.ids {
            let seen: &[&str] = if action.has_filter { &[] } else { known.seen };
            changes.push(Change {
                name: camel_case(&[action.name]),
                action: action.name,
                required: [&required(action)[..], &[ids]].concat(),
                fields: texts([&COMMON[..], &known.inputs, seen].concat()),
            });
        }
        if !known.filters.is_empty() {
            changes.push(Change {
                name: camel_case(&[action.name, "matching"]),
                action: action.name,
                required: [&required(action)[..], known.seen].concat(),
                fields: [texts([&COMMON[..], &known.inputs].concat()), known.filters].concat(),
            });
        }
    }
    changes.push(Change {
        name: camel_case(&[STOP]),
        action: STOP,
        required: vec!["action", "operation"],
        fields: Vec::new(),
    });
    let one_of = changes.into_iter().map(|change| change.register(registry, &all)).collect();
    let union = MetaSchema { description: all.description, one_of, ..MetaSchema::ANY };
    registry.schemas.insert(NAME.to_owned(), union);
}

/// A change of one action.
struct Change {
    /// The name of its schema.
    name: String,
    action: &'static str,
    required: Vec<&'static str>,
    /// Those that it may have beside the required ones.
    fields: Vec<String>,
}

impl Change {
    fn register(self, registry: &mut Registry, all: &MetaSchema) -> MetaSchemaRef {
        let is_field = |name: &str| {
            self.required.contains(&name) || self.fields.iter().any(|field| field == name)
        };
        let named = all.properties.iter().filter(|(name, _)| is_field(name));
        let mut properties: Vec<_> = named.cloned().collect();
        let only =
            MetaSchema { enum_items: vec![Value::from(self.action)], ..MetaSchema::new("string") };
        properties.retain(|(name, _)| *name != "action");
        properties.insert(0, ("action", MetaSchemaRef::Inline(Box::new(only))));
        let schema =
            MetaSchema { properties, required: self.required, ..MetaSchema::new("object") };
        registry.schemas.insert(self.name.clone(), schema);
        MetaSchemaRef::Reference(self.name)
    }
}

fn texts(names: Vec<&str>) -> Vec<String> {
    names.into_iter().map(ToOwned::to_owned).collect()
}

/// The fields that an action needs, however its subjects are selected.
fn required(action: &Action) -> Vec<&'static str> {
    let inputs = action.inputs.iter().filter(|input| input.kind == InputKind::RequiredLine);
    let reason = action.needs_reason.then_some("reason");
    ["action"].into_iter().chain(reason).chain(inputs.map(|input| input.name)).collect()
}

/// `RetryMatchingOperation` and so on.
fn camel_case(words: &[&str]) -> String {
    let parts = words.iter().flat_map(|word| word.split('-')).chain(["operation"]);
    let capital = |part: &str| part[..1].to_uppercase() + &part[1..];
    parts.map(capital).collect()
}

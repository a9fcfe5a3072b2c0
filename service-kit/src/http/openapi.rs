//! What poem-openapi can't express in an OpenAPI document, added to the finished document.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

const SCHEMA_REFERENCE: &str = "#/components/schemas/";

/// Completes a document: request bodies refuse unknown members, and examples of responses stand
/// beside their schemas.
pub(super) fn complete(document: &mut Value) {
    let mut requests = Vec::new();
    for operation in operations(document) {
        if let Some(content) = operation.pointer("/requestBody/content") {
            collect_references(content, &mut requests);
        }
        for response in members(operation.get_mut("responses")) {
            members(response.get_mut("content")).for_each(move_example);
        }
    }
    close_schemas(document, requests);
}

fn operations(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    members(document.get_mut("paths")).flat_map(|path| members(Some(path)))
}

fn members(value: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    value.and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut)
}

/// Sets `additionalProperties: false` in the object schemas with these names and in all that they
/// refer to: what is parsed by [`FromBody`](super::FromBody) refuses unknown members.
fn close_schemas(document: &mut Value, mut names: Vec<String>) {
    let mut closed = HashSet::new();
    while let Some(name) = names.pop() {
        let Some(schema) = document.pointer_mut(&format!("/components/schemas/{name}")) else {
            continue;
        };
        if !closed.insert(name) {
            continue;
        }
        collect_references(schema, &mut names);
        if schema["type"] == "object" {
            schema["additionalProperties"] = json!(false);
        }
    }
}

/// Adds the names of all schemas to which `value` refers.
fn collect_references(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (member, value) in object {
                match value.as_str().and_then(|text| text.strip_prefix(SCHEMA_REFERENCE)) {
                    Some(name) if member == "$ref" => names.push(name.to_owned()),
                    _ => collect_references(value, names),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_references(value, names)),
        _ => (),
    }
}

/// Moves the example of a schema that is `{allOf: [one], example}` to the media type, which then
/// has the plain schema: in poem-openapi only schemas have examples.
fn move_example(media_type: &mut Value) {
    let Some(schema) = media_type.get_mut("schema") else { return };
    let Some(example) = schema.get("example").cloned() else { return };
    let Some([one]) = schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice) else {
        return;
    };
    *schema = one.clone();
    media_type["example"] = example;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_schemas_refuse_unknown_members_and_response_schemas_do_not() {
        let reference = |name: &str| json!({"$ref": format!("{SCHEMA_REFERENCE}{name}")});
        let mut document = json!({
            "paths": {"/things": {"post": {
                "requestBody": {"content": {"application/json": {"schema": reference("New")}}},
                "responses": {"201": {"content": {"application/json": {"schema": {
                    "allOf": [reference("Thing")], "example": {"name": "a"}}}}}}
            }}},
            "components": {"schemas": {
                "New": {"type": "object", "properties": {"part": reference("Part")}},
                "Part": {"type": "object", "properties": {"kind": {"allOf": [reference("Kind")]}}},
                "Kind": {"type": "string"},
                "Thing": {"type": "object"}
            }}
        });
        complete(&mut document);
        let schemas = &document["components"]["schemas"];
        for (name, closed) in [("New", true), ("Part", true), ("Kind", false), ("Thing", false)] {
            assert_eq!(schemas[name].get("additionalProperties").is_some(), closed, "{name}");
        }
        assert_eq!(
            document["paths"]["/things"]["post"]["responses"]["201"]["content"]["application/json"],
            json!({"schema": reference("Thing"), "example": {"name": "a"}})
        );
    }
}

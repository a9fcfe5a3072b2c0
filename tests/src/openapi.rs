//! Answers held against an OpenAPI document.

use anyhow::{Context as _, ensure};
use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// An OpenAPI 3.0 document.
#[derive(Debug)]
pub struct OpenApi {
    document: Value,
}

impl OpenApi {
    /// Reads a document.
    ///
    /// # Errors
    /// When it is no JSON.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(Self { document: serde_json::from_str(text)? })
    }

    /// The calls: path, method and definition.
    pub fn calls(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = self.document["paths"].as_object().into_iter().flatten();
        paths.flat_map(|(path, methods)| {
            let methods = methods.as_object().into_iter().flatten();
            methods.map(move |(method, call)| (path.as_str(), method.as_str(), call))
        })
    }

    /// Fails unless the call has an answer with this status and content type, of which `body` is
    /// one. A member that the document does not name is refused.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(
        &self,
        call: &Value,
        status: u16,
        content_type: &str,
        body: &Value,
    ) -> anyhow::Result<()> {
        let id = &call["operationId"];
        let answer = &call["responses"][status.to_string()];
        ensure!(answer.is_object(), "{id} documents no status {status}");
        let media = &answer["content"][content_type];
        ensure!(media.is_object(), "{id} {status} documents no {content_type}");
        self.conforms(&media["schema"], body).with_context(|| format!("{id} {status}: {body}"))
    }

    /// Fails unless `value` is one of `schema`.
    ///
    /// # Errors
    /// Says where it is not.
    pub fn conforms(&self, schema: &Value, value: &Value) -> anyhow::Result<()> {
        let mut root = as_json_schema(schema);
        root["components"] = as_json_schema(&self.document["components"]);
        let validator: Validator = jsonschema::draft7::options()
            .should_validate_formats(true)
            .build(&root)
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        let faults: Vec<String> = match validator.validate(value) {
            Ok(()) => return Ok(()),
            Err(errors) => {
                errors.map(|error| format!("{error} at {}", error.instance_path)).collect()
            }
        };
        anyhow::bail!("{}", faults.join("\n"))
    }

    /// Fails unless each example is one of its schema.
    ///
    /// # Errors
    /// Says which is not.
    pub fn check_examples(&self) -> anyhow::Result<usize> {
        let mut count = 0;
        for (path, _, call) in self.calls() {
            let answers = call["responses"].as_object().into_iter().flatten();
            let contents = answers.map(|(_, answer)| &answer["content"]);
            for content in contents.chain([&call["requestBody"]["content"]]) {
                for (_, media) in content.as_object().into_iter().flatten() {
                    if let Some(example) = media.get("example") {
                        self.conforms(&media["schema"], example).context(path.to_owned())?;
                        count += 1;
                    }
                }
            }
        }
        Ok(count)
    }
}

/// What OpenAPI 3.0 writes in its own way as JSON Schema, with objects closed: an answer has no
/// member that is not documented.
fn as_json_schema(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let changed = |(name, value): (&String, &Value)| (name.clone(), as_json_schema(value));
            let mut members: Map<String, Value> =
                members.iter().filter(|(name, _)| *name != "example").map(changed).collect();
            if members.get("properties").is_some_and(Value::is_object)
                && members.get("type") == Some(&json!("object"))
            {
                members.insert("additionalProperties".to_owned(), json!(false));
            }
            match members.remove("nullable") {
                Some(Value::Bool(true)) => json!({"anyOf": [members, {"type": "null"}]}),
                _ => Value::Object(members),
            }
        }
        Value::Array(values) => values.iter().map(as_json_schema).collect(),
        other => other.clone(),
    }
}

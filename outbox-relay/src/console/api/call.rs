//! A call of the API, as the document shows it.

use std::collections::HashMap;

use poem::http::Method;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaOperation, MetaOperationParam, MetaParamIn, MetaRequest,
    MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use serde_json::{Value, json};
use service_kit::http::problem::CONTENT_TYPE;
use uuid::Uuid;

use super::change_schemas;
use super::schemas::Problem;
use crate::console::actions;

/// The security schemes.
pub(super) const BASIC: &str = "password";
pub(super) const BEARER: &str = "token";

const JSON: &str = "application/json";

/// A call.
pub(super) struct Call {
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    /// What each part of the path in braces is.
    pub(super) parts: &'static [(&'static str, &'static str)],
    pub(super) query: &'static [Query],
    /// The statuses with an answer of its own type, and what they mean.
    pub(super) answers: &'static [(u16, &'static str)],
    pub(super) schema: fn() -> MetaSchemaRef,
    pub(super) register: fn(&mut Registry),
    pub(super) example: Option<&'static str>,
    pub(super) problems: &'static [u16],
    pub(super) is_post: bool,
}

/// A field of the query: its name and its meaning.
pub(super) type Query = (&'static str, &'static str);

/// A call that reads what a page shows.
pub(super) const fn get<T: Type>(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
) -> Call {
    Call {
        path,
        id,
        tag,
        summary,
        parts: &[],
        query: &[],
        answers: &[(200, "What the page shows")],
        schema: T::schema_ref,
        register: T::register,
        example: None,
        problems: &[],
        is_post: false,
    }
}

/// The problems of every call.
const PROBLEMS: [(u16, &str); 11] = [
    (400, "The request makes no sense"),
    (401, "Log in first, or the secret is wrong"),
    (403, "This needs other rights, which the problem names; or another site's page has sent it"),
    (404, "There is nothing of that name"),
    (408, "The body took too long to arrive"),
    (413, "The body is larger than 8 MiB"),
    (421, "The console is not known under this name (`CONSOLE_ALLOWED_HOSTS`)"),
    (429, "Too many wrong secrets came from this address"),
    (500, "Internal error"),
    (502, "A command failed"),
    (503, "Too many requests at once, or the database is away or takes too long"),
];

/// The problems that only some calls have.
const SOME: [u16; 3] = [404, 408, 413];

impl Call {
    pub(super) fn register(&self, registry: &mut Registry) {
        (self.register)(registry);
        if self.is_post {
            change_schemas::register(registry);
        }
    }

    pub(super) fn operation(&self) -> MetaOperation {
        let parts = self.parts.iter().map(|part| parameter(part, MetaParamIn::Path));
        let query = self.query.iter().map(|field| parameter(field, MetaParamIn::Query));
        let security = [BASIC, BEARER].map(|name| HashMap::from([(name, Vec::new())]));
        MetaOperation {
            method: if self.is_post { Method::POST } else { Method::GET },
            tags: vec![self.tag],
            summary: Some(self.summary),
            description: None,
            external_docs: None,
            params: parts.chain(query).collect(),
            request: self.is_post.then(request),
            responses: MetaResponses { responses: self.responses() },
            deprecated: false,
            // Or neither, with CONSOLE_AUTH=none and behind a proxy.
            security: security.into_iter().chain([HashMap::new()]).collect(),
            operation_id: Some(self.id),
            code_samples: Vec::new(),
        }
    }

    fn responses(&self) -> Vec<MetaResponse> {
        let mut responses: Vec<MetaResponse> = self
            .answers
            .iter()
            .map(|&(status, description)| MetaResponse {
                description,
                status: Some(status),
                status_range: None,
                content: vec![media(JSON, (self.schema)(), self.example)],
                // A problem with the same status has none.
                headers: if self.is_post {
                    vec![MetaHeader {
                        required: !PROBLEMS.iter().any(|(problem, _)| *problem == status),
                        ..location()
                    }]
                } else {
                    Vec::new()
                },
            })
            .collect();
        for (status, description) in PROBLEMS {
            if SOME.contains(&status) && !self.problems.contains(&status) {
                continue;
            }
            let problem = media(CONTENT_TYPE, Problem::schema_ref(), None);
            let known = responses.iter_mut().find(|known| known.status == Some(status));
            match known {
                Some(known) => known.content.push(problem),
                None => responses.push(MetaResponse {
                    description,
                    status: Some(status),
                    status_range: None,
                    content: vec![with_example(problem, problem_example(status, description))],
                    headers: Vec::new(),
                }),
            }
        }
        if self.path == "/api/search" {
            responses.push(MetaResponse {
                description: "It was found: `Location` has it",
                status: Some(303),
                status_range: None,
                content: Vec::new(),
                headers: vec![location()],
            });
        }
        responses.sort_by_key(|response| response.status);
        responses
    }
}

fn request() -> MetaRequest {
    let example = include_str!("examples/new_operation.json");
    MetaRequest {
        description: None,
        content: vec![media(JSON, change_schemas::schema_ref(), Some(example))],
        required: true,
    }
}

fn parameter((name, description): &Query, in_type: MetaParamIn) -> MetaOperationParam {
    let schema = match (in_type, *name) {
        (MetaParamIn::Path, "event_id" | "operation") => Uuid::schema_ref(),
        (MetaParamIn::Path, "id") => i64::schema_ref(),
        (MetaParamIn::Path, "fingerprint") => fingerprint(),
        (MetaParamIn::Path, "action") => action(),
        (MetaParamIn::Query, "wait") => seconds(),
        (MetaParamIn::Query, "event_id" | "id" | "pause_id") => <Vec<String>>::schema_ref(),
        _ => String::schema_ref(),
    };
    MetaOperationParam {
        name: (*name).to_owned(),
        schema,
        in_type,
        description: Some((*description).to_owned()),
        required: in_type == MetaParamIn::Path,
        deprecated: false,
        explode: true,
        style: None,
    }
}

fn fingerprint() -> MetaSchemaRef {
    let pattern = Some("^[0-9a-f]{16}$".to_owned());
    MetaSchemaRef::Inline(Box::new(MetaSchema { pattern, ..MetaSchema::new("string") }))
}

fn seconds() -> MetaSchemaRef {
    let (minimum, maximum) = (Some(0.0), Some(60.0));
    MetaSchemaRef::Inline(Box::new(MetaSchema { minimum, maximum, ..MetaSchema::new("integer") }))
}

/// An action that has a page of confirmation.
fn action() -> MetaSchemaRef {
    let enum_items = actions::names().map(Value::from).collect();
    MetaSchemaRef::Inline(Box::new(MetaSchema { enum_items, ..MetaSchema::new("string") }))
}

fn media(
    content_type: &'static str,
    schema: MetaSchemaRef,
    example: Option<&'static str>,
) -> MetaMediaType {
    let media = MetaMediaType { content_type, schema };
    match example.map(|text| serde_json::from_str(text).expect("an example is JSON")) {
        Some(example) => with_example(media, example),
        None => media,
    }
}

/// In this framework only schemas have examples; the document has them beside.
fn with_example(media: MetaMediaType, example: Value) -> MetaMediaType {
    let schema =
        MetaSchema { all_of: vec![media.schema], example: Some(example), ..MetaSchema::ANY };
    MetaMediaType { schema: MetaSchemaRef::Inline(Box::new(schema)), ..media }
}

fn problem_example(status: u16, description: &str) -> Value {
    let title = poem::http::StatusCode::from_u16(status).ok();
    let title = title.and_then(|status| status.canonical_reason());
    json!({ "type": "about:blank", "title": title, "status": status, "detail": description })
}

fn location() -> MetaHeader {
    MetaHeader {
        name: "Location".to_owned(),
        description: Some("The path of what to get".to_owned()),
        required: true,
        deprecated: false,
        schema: String::schema_ref(),
    }
}

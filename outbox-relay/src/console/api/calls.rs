//! The calls of the API, as the document shows them.

use std::collections::HashMap;

use poem::http::Method;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaOperation, MetaOperationParam, MetaParamIn, MetaRequest,
    MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use serde_json::{Value, json};
use service_kit::http::problem::CONTENT_TYPE;

use super::schemas::{
    About, AggregatePage, AuditList, Cause, Changes, Confirmation, EventList, EventPage, Failures,
    LetterGroups, LetterList, LetterPage, NewOperation, Operation, Overview, Pauses, Problem,
    Relays, Search,
};

/// The security schemes.
pub(super) const BASIC: &str = "password";
pub(super) const BEARER: &str = "token";

const READ: &str = "read";
const DESK: &str = "desk";
const CHANGE: &str = "change";

/// The tags with their meaning.
pub(super) const TAGS: [(&str, &str); 3] = [
    (READ, "Read the outbox: the rights of viewer"),
    (DESK, "Read dead letters: the rights of viewer, and DEAD_LETTERS_DATABASE_URL"),
    (CHANGE, "Mend and destroy: the rights of operator or admin, by the action"),
];

const JSON: &str = "application/json";

/// A call.
pub(super) struct Call {
    pub(super) path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    /// What each part of the path in braces is.
    parts: &'static [(&'static str, &'static str)],
    query: &'static [Query],
    /// The statuses with an answer of its own type, and what they mean.
    answers: &'static [(u16, &'static str)],
    schema: fn() -> MetaSchemaRef,
    register: fn(&mut Registry),
    example: Option<&'static str>,
    problems: &'static [u16],
    is_post: bool,
}

/// A field of the query: its name and its meaning.
type Query = (&'static str, &'static str);

const fn get<T: Type>(
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

const AFTER: Query = ("after", "Where to go on, as `next` of the part before has it");
const SINCE: Query = ("since", "Not before this time, or this duration before now, such as 2h");
const UNTIL: Query = ("until", "Before this time, or this duration before now");
const TYPE: Query = ("type", "Of this event type");
const KIND: Query = ("kind", "That failed in this way");
const FINGERPRINT: Query = ("fingerprint", "That failed of this cause");
const ERROR: Query = ("error", "Whose error contains this text");
const AGGREGATE: Query = ("aggregate", "Of aggregates with this id");
const AGGREGATE_TYPE: Query = ("aggregate_type", "Of aggregates of this type");
const QUEUE: Query = ("queue", "From this dead-letter queue");
const MESSAGE_ID: Query = ("message_id", "With this message id");

/// All calls.
pub(super) const CALLS: [Call; 19] = [
    get::<Overview>("/api", "getOverview", READ, "Whether events flow, and what to do if not"),
    Call {
        example: Some(include_str!("examples/failures.json")),
        ..get::<Failures>("/api/failures", "listFailures", READ, "Failed events by their cause")
    },
    Call {
        parts: &[("fingerprint", "The cause")],
        query: &[KIND, TYPE, AFTER],
        ..get::<Cause>("/api/failures/{fingerprint}", "getCause", READ, "The events of a cause")
    },
    Call {
        query: &[
            ("state", "`pending`, `waiting`, `scheduled`, `stuck`, `parked` or `published`"),
            AGGREGATE_TYPE,
            AGGREGATE,
            TYPE,
            KIND,
            FINGERPRINT,
            ERROR,
            SINCE,
            UNTIL,
            AFTER,
        ],
        example: Some(include_str!("examples/events.json")),
        ..get::<EventList>("/api/events", "listEvents", READ, "Events by state")
    },
    Call {
        parts: &[("event_id", "The event's `event_id`")],
        problems: &[404],
        ..get::<EventPage>("/api/events/{event_id}", "getEvent", READ, "One event, and where it is")
    },
    Call {
        parts: &[
            ("aggregate_type", "The aggregate's type"),
            ("aggregate_id", "The aggregate's id"),
        ],
        query: &[AFTER],
        ..get::<AggregatePage>(
            "/api/aggregates/{aggregate_type}/{aggregate_id}",
            "getAggregate",
            READ,
            "The events of one aggregate",
        )
    },
    Call {
        query: &[
            ("state", "`open`, `returning`, `returned`, `discarded` or `any`"),
            QUEUE,
            FINGERPRINT,
            KIND,
            TYPE,
            ERROR,
            MESSAGE_ID,
            SINCE,
            UNTIL,
            AFTER,
        ],
        problems: &[404],
        ..get::<LetterList>("/api/dead-letters", "listDeadLetters", DESK, "Dead letters by state")
    },
    Call {
        query: &[QUEUE, KIND],
        problems: &[404],
        ..get::<LetterGroups>(
            "/api/dead-letters/groups",
            "groupDeadLetters",
            DESK,
            "Open dead letters by their cause",
        )
    },
    Call {
        parts: &[("id", "The dead letter's id")],
        problems: &[404],
        ..get::<LetterPage>("/api/dead-letters/{id}", "getDeadLetter", DESK, "One dead letter")
    },
    get::<Pauses>("/api/pauses", "listPauses", READ, "What is not published for now"),
    get::<Relays>("/api/relays", "listRelays", READ, "The relays and their lanes"),
    Call {
        query: &[
            ("actor", "What this person did"),
            ("action", "Only this action"),
            ("event", "About this `event_id`"),
            ("operation", "Of the command with this `operation_id`"),
            SINCE,
            UNTIL,
            AFTER,
        ],
        ..get::<AuditList>("/api/audit", "listAudit", READ, "Who did what")
    },
    get::<About>("/api/about", "getAbout", READ, "The console's version and settings"),
    get::<Changes>("/api/changes", "getChanges", READ, "Whether something has changed"),
    Call {
        query: &[("q", "An id of any kind")],
        answers: &[(200, "Nothing was found")],
        ..get::<Search>("/api/search", "search", READ, "Leads from an id to what it belongs to")
    },
    Call {
        parts: &[("action", "The action, such as `retry`")],
        query: &[
            ("event_id", "The event; may be given several times"),
            ("id", "The dead letter; may be given several times"),
            ("pause_id", "The pause; may be given several times"),
            AGGREGATE_TYPE,
            AGGREGATE,
            QUEUE,
            FINGERPRINT,
            KIND,
            TYPE,
            ERROR,
            MESSAGE_ID,
            SINCE,
            UNTIL,
            ("stuck", "`true`: only stuck events"),
            ("all", "`true`: everything, of `pause` and `resume`"),
        ],
        problems: &[404],
        ..get::<Confirmation>(
            "/api/confirm/{action}",
            "countChange",
            CHANGE,
            "What an action would change: `count` and `up_to_id` for the operation",
        )
    },
    Call {
        query: &[("wait", "Seconds to wait for the end, at most 60; without it the answer is 202")],
        answers: &[
            (200, "It was done, within `wait`"),
            (202, "It has begun: `Location` has how it stands"),
            (400, "The command refuses its values, within `wait`; or a problem"),
            (
                409,
                "Not all was done, within `wait`: another number matches by now, or some were left",
            ),
            (502, "It could not be run, within `wait`"),
        ],
        example: Some(include_str!("examples/operation.json")),
        problems: &[400, 408, 413],
        is_post: true,
        ..get::<Operation>("/api/operations", "beginOperation", CHANGE, "Change something")
    },
    Call {
        parts: &[("operation", "The operation's number")],
        problems: &[404],
        example: Some(include_str!("examples/operation.json")),
        ..get::<Operation>(
            "/api/operations/{operation}",
            "getOperation",
            CHANGE,
            "How an operation of your own stands",
        )
    },
    get::<Value>("/api/openapi.json", "getDocument", READ, "This document"),
];

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
    (502, "A command failed: the database does not answer, say"),
    (503, "Too many requests at once, or the database takes too long"),
];

/// The problems that only some calls have.
const SOME: [u16; 3] = [404, 408, 413];

impl Call {
    pub(super) fn register(&self, registry: &mut Registry) {
        (self.register)(registry);
        if self.is_post {
            NewOperation::register(registry);
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
                headers: if self.is_post { vec![location()] } else { Vec::new() },
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
        content: vec![media(JSON, NewOperation::schema_ref(), Some(example))],
        required: true,
    }
}

fn parameter((name, description): &Query, in_type: MetaParamIn) -> MetaOperationParam {
    let is_list = matches!(*name, "event_id" | "id" | "pause_id") && in_type == MetaParamIn::Query;
    MetaOperationParam {
        name: (*name).to_owned(),
        schema: if is_list { <Vec<String>>::schema_ref() } else { String::schema_ref() },
        in_type,
        description: Some((*description).to_owned()),
        required: in_type == MetaParamIn::Path,
        deprecated: false,
        explode: true,
        style: None,
    }
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

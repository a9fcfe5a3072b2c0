//! Which problems an operation's document names.

use std::marker::PhantomData;

use poem::http::StatusCode;
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;

use super::problem::{CONTENT_TYPE, Problem, ProblemBody};

/// Which statuses an operation refuses with, and what each means there.
pub trait Statuses: Send + Sync + 'static {
    /// Status and meaning.
    const ALL: &'static [(u16, &'static str)];
}

/// What operations refuse with.
pub mod meaning {
    /// No JSON.
    pub const NO_JSON: (u16, &str) =
        (400, "The body is not JSON, or the percent-encoding of the query is broken");
    /// A query that can't be read.
    pub const NO_QUERY: (u16, &str) = (400, "The percent-encoding of the query is broken");
    /// A query where there is none.
    pub const NO_PARAMETERS: (u16, &str) =
        (422, "The request has query parameters, of which this call has none");
    /// A body that drips in.
    pub const TOO_SLOW: (u16, &str) = (408, "The body took too long to arrive");
    /// A body over the limit.
    pub const TOO_LARGE: (u16, &str) = (413, "The body is larger than 64 KiB");
    /// Another media type.
    pub const NOT_JSON_TYPE: (u16, &str) = (415, "The Content-Type is not application/json");
    /// Whatever nobody thought of.
    pub const FAILED: (u16, &str) = (500, "Internal error");
    /// No database.
    pub const UNAVAILABLE: (u16, &str) = (
        503,
        "The database does not answer or too many requests wait for it; what was asked for may have been done or not",
    );
}

/// A [`Problem`] of an operation whose document lists the statuses of `S`.
#[derive(Debug)]
pub struct Refused<S>(Problem, PhantomData<S>);

impl<S> From<Problem> for Refused<S> {
    fn from(problem: Problem) -> Self {
        Self(problem, PhantomData)
    }
}

impl<S: Statuses> From<Refused<S>> for poem::Error {
    fn from(refused: Refused<S>) -> Self {
        refused.0.into()
    }
}

impl<S: Statuses> ApiResponse for Refused<S> {
    fn meta() -> MetaResponses {
        let responses = S::ALL.iter().map(|&(status, description)| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: CONTENT_TYPE,
                schema: ProblemBody::schema_ref(),
            }],
            headers: retry_after_of(status),
        });
        MetaResponses { responses: responses.collect() }
    }

    fn register(registry: &mut Registry) {
        ProblemBody::register(registry);
    }
}

fn retry_after_of(status: u16) -> Vec<MetaHeader> {
    if status != StatusCode::SERVICE_UNAVAILABLE.as_u16() {
        return Vec::new();
    }
    vec![MetaHeader {
        name: "Retry-After".to_owned(),
        description: Some("Seconds to wait before the next try".to_owned()),
        required: true,
        deprecated: false,
        schema: u32::schema_ref(),
    }]
}

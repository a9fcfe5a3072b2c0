//! The error responses that an operation documents.

use std::marker::PhantomData;

use poem::http::StatusCode;
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;

use super::problem::{CONTENT_TYPE, Problem, ProblemBody};

/// The error statuses of an operation.
pub trait Statuses: Send + Sync + 'static {
    /// Each status with its meaning.
    const ALL: &'static [(u16, &'static str)];
}

/// The statuses that several operations share.
pub mod meaning {
    /// The body is not JSON.
    pub const NO_JSON: (u16, &str) =
        (400, "The body is not JSON, or the percent-encoding of the query is broken");
    /// The query can't be decoded.
    pub const NO_QUERY: (u16, &str) = (400, "The percent-encoding of the query is broken");
    /// A query where none is allowed.
    pub const NO_PARAMETERS: (u16, &str) =
        (422, "The request has query parameters, of which this call has none");
    /// The body arrives too slowly.
    pub const TOO_SLOW: (u16, &str) = (408, "The body took too long to arrive");
    /// The body is over the limit.
    pub const TOO_LARGE: (u16, &str) = (413, "The body is larger than 64 KiB");
    /// Another media type.
    pub const NOT_JSON_TYPE: (u16, &str) = (415, "The Content-Type is not application/json");
    /// An unexpected error.
    pub const FAILED: (u16, &str) = (500, "Internal error");
    /// The database is unavailable.
    pub const UNAVAILABLE: (u16, &str) = (
        503,
        "The database does not answer or too many requests wait for it; what was asked for may have been done or not",
    );
}

/// A [`Problem`] from an operation that documents the statuses of `S`.
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

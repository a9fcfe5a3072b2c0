//! The error responses that an operation documents.

use std::marker::PhantomData;

use poem::http::StatusCode;
use poem_openapi::ApiResponse;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;

use super::body::{bad_request, too_large, unsupported};
use super::problem::{CONTENT_TYPE, Problem};
use crate::postgres::DatabaseError;
use crate::problem::ProblemBody;

/// The error statuses of an operation.
pub trait ErrorStatuses: Send + Sync + 'static {
    /// Each status with its meaning.
    const ALL: &'static [(u16, &'static str)];

    /// An example of the problem with this status, where the general one does not fit.
    #[must_use]
    fn example(_status: u16) -> Option<Problem> {
        None
    }
}

/// The statuses that several operations share.
pub mod error_status {
    /// The body is not JSON.
    pub const INVALID_JSON: (u16, &str) =
        (400, "The body is not JSON, or the percent-encoding of the query is invalid");
    /// The query can't be decoded.
    pub const INVALID_QUERY: (u16, &str) = (400, "The percent-encoding of the query is invalid");
    /// A query that a list does not understand.
    pub const INVALID_PARAMETERS: (u16, &str) =
        (422, "Query parameters are invalid, repeated or unknown");
    /// A query where none is allowed.
    pub const UNEXPECTED_PARAMETERS: (u16, &str) =
        (422, "The request has query parameters; this operation has none");
    /// The body arrives too slowly.
    pub const REQUEST_TIMEOUT: (u16, &str) = (408, "The body took too long to arrive");
    /// The body is over the limit.
    pub const PAYLOAD_TOO_LARGE: (u16, &str) = (413, "The body is larger than 64 KiB");
    /// Another media type.
    pub const UNSUPPORTED_MEDIA_TYPE: (u16, &str) =
        (415, "The Content-Type is not application/json");
    /// An unexpected error.
    pub const INTERNAL_ERROR: (u16, &str) =
        (500, "Internal error; the log has details under the request's id");
    /// The database is unavailable.
    pub const UNAVAILABLE: (u16, &str) = (
        503,
        "The database does not answer, or too many requests wait for it. A change may have been made all the same",
    );
}

/// A [`Problem`] from an operation that documents the statuses of `S`.
#[derive(Debug)]
pub struct ErrorResponse<S>(Problem, PhantomData<S>);

impl<S> From<Problem> for ErrorResponse<S> {
    fn from(problem: Problem) -> Self {
        Self(problem, PhantomData)
    }
}

impl<S: ErrorStatuses> From<ErrorResponse<S>> for poem::Error {
    fn from(response: ErrorResponse<S>) -> Self {
        response.0.into()
    }
}

impl<S: ErrorStatuses> ApiResponse for ErrorResponse<S> {
    fn meta() -> MetaResponses {
        let responses = S::ALL.iter().map(|&(status, description)| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: CONTENT_TYPE,
                schema: schema_with(
                    &S::example(status).unwrap_or_else(|| example(status, description)),
                ),
            }],
            headers: retry_after_of(status),
        });
        MetaResponses { responses: responses.collect() }
    }

    fn register(registry: &mut Registry) {
        ProblemBody::register(registry);
    }
}

/// The schema of a problem, with an example.
fn schema_with(example: &Problem) -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema {
        all_of: vec![ProblemBody::schema_ref()],
        example: serde_json::from_str(&example.body()).ok(),
        ..MetaSchema::ANY
    }))
}

/// The problem with this status as most operations give it.
fn example(status: u16, description: &'static str) -> Problem {
    match (status, description) {
        error_status::INVALID_JSON => bad_request(
            "The body is not JSON: EOF while parsing an object at line 1 column 1.".to_owned(),
        ),
        error_status::INVALID_QUERY => {
            bad_request("The query has a % that two hexadecimal digits do not follow.".to_owned())
        }
        error_status::REQUEST_TIMEOUT => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "The body took longer than 10 s.")
        }
        error_status::PAYLOAD_TOO_LARGE => too_large(),
        error_status::UNSUPPORTED_MEDIA_TYPE => {
            unsupported("The Content-Type must be application/json.")
        }
        error_status::INVALID_PARAMETERS => Problem::invalid([
            "limit must be an integer from 1 to 500",
            "the query parameter page is unknown",
        ]),
        error_status::UNEXPECTED_PARAMETERS => {
            Problem::invalid(["the query parameter page is unknown"])
        }
        error_status::INTERNAL_ERROR => Problem::internal(description),
        error_status::UNAVAILABLE => DatabaseError::Busy.into(),
        _ => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            Problem::new(status, description)
        }
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

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        match &error {
            DatabaseError::Busy => {
                Self::unavailable("Too many requests at once; try again soon.", &error)
            }
            DatabaseError::Unavailable(_) => Self::unavailable(
                "The database does not answer; try again soon. A change that was asked for may have been made all the same.",
                &error,
            ),
            DatabaseError::Unstorable(_) => Self::invalid([
                "the body holds a character that the database's encoding does not have",
            ]),
            DatabaseError::Refused(_) => Self::internal(&error),
        }
    }
}

impl<S> From<DatabaseError> for ErrorResponse<S> {
    fn from(error: DatabaseError) -> Self {
        Problem::from(error).into()
    }
}

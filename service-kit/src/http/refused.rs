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

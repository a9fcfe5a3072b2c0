//! Problems as responses of the framework.

use std::sync::Arc;

use poem::{IntoResponse, Response};

pub use crate::problem::{CONTENT_TYPE, Problem};

/// The internal reason, which travels with the response to the log.
#[derive(Debug, Clone)]
pub(super) struct Cause(pub(super) Arc<str>);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let cause = self.cause().cloned();
        let (parts, body) = hyper::Response::<String>::from(self).into_parts();
        let mut response = Response::builder().status(parts.status).body(body);
        *response.headers_mut() = parts.headers;
        if let Some(cause) = cause {
            response.set_data(Cause(cause));
        }
        response
    }
}

impl From<Problem> for poem::Error {
    fn from(problem: Problem) -> Self {
        let cause = problem.cause().cloned();
        let mut error = Self::from_response(problem.into_response());
        // The extensions of an error replace those of its response.
        if let Some(cause) = cause {
            error.set_data(Cause(cause));
        }
        error
    }
}

//! Errors as clients see them: `application/problem+json`, [RFC
//! 9457](https://www.rfc-editor.org/rfc/rfc9457).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
#[cfg(feature = "api")]
use poem_openapi::Object;
use serde::Serialize;

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// The type of a problem that says no more than its status.
const ABOUT_BLANK: &str = "about:blank";

/// How many faults a problem lists. Further ones are only counted.
const MAX_ERRORS: usize = 100;

/// An error for a client. It shows no SQL, path or driver's message; the internal reason is its
/// `cause`, which only the log shows.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: &'static str,
    status: StatusCode,
    detail: Cow<'static, str>,
    errors: Vec<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<Arc<str>>,
}

/// The body of a problem.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api", derive(Object), oai(rename = "Problem"))]
pub(crate) struct ProblemBody {
    /// What kind of problem it is; about:blank: the status says it all
    #[serde(rename = "type")]
    #[cfg_attr(feature = "api", oai(rename = "type"))]
    kind: String,
    /// The meaning of the status
    title: String,
    /// The HTTP status
    status: u16,
    /// What went wrong this time
    detail: String,
    /// One readable sentence per fault of the request
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "api", oai(skip_serializing_if_is_empty, default))]
    errors: Vec<String>,
}

impl Problem {
    /// Creates a problem with `status`; `detail` is a sentence for the client.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: ABOUT_BLANK,
            status,
            detail: detail.into(),
            errors: Vec::new(),
            headers: Vec::new(),
            cause: None,
        }
    }

    /// 422 with one sentence per fault.
    #[must_use]
    pub fn invalid<E: Into<String>>(errors: impl IntoIterator<Item = E>) -> Self {
        let mut errors: Vec<String> = errors.into_iter().map(Into::into).collect();
        if errors.len() > MAX_ERRORS {
            let more = errors.len() - MAX_ERRORS;
            errors.truncate(MAX_ERRORS);
            errors.push(format!("and {more} more"));
        }
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "The request breaks the rules listed in errors.",
        );
        problem.errors = errors;
        problem
    }

    /// 500; `cause` is only for the log.
    #[must_use]
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal error. The log has details under this request id.",
        )
        .caused_by(cause)
    }

    /// 503 with `Retry-After`; `cause` is only for the log.
    #[must_use]
    pub fn unavailable(detail: impl Into<Cow<'static, str>>, cause: impl fmt::Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            .retry_after(Duration::from_secs(1))
            .caused_by(cause)
    }

    /// Sets the type: a URI that distinguishes it from other problems of the same status.
    #[must_use]
    pub const fn of_type(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// Sets the cause for the log.
    #[must_use]
    pub(crate) fn caused_by(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string().into());
        self
    }

    /// Adds `Retry-After`, in whole seconds.
    #[must_use]
    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs().max(1);
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Returns the status.
    #[must_use]
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns one sentence per fault of the request.
    #[cfg(test)]
    pub(crate) fn errors(&self) -> &[String] {
        &self.errors
    }

    /// Returns the internal reason, which only the log shows.
    #[cfg(feature = "api")]
    pub(crate) fn cause(&self) -> Option<&Arc<str>> {
        self.cause.as_ref()
    }

    /// Returns the body as JSON.
    pub(crate) fn body(&self) -> String {
        let body = ProblemBody {
            kind: self.kind.to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone().into_owned(),
            errors: self.errors.clone(),
        };
        serde_json::to_string(&body).expect("strings and numbers have a JSON form")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.detail)
    }
}

impl std::error::Error for Problem {}

impl From<Problem> for Response<String> {
    fn from(problem: Problem) -> Self {
        let mut response = Self::new(problem.body());
        *response.status_mut() = problem.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.extend(problem.headers);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_is_wrong_and_hides_its_cause() {
        let problem = Problem::unavailable("Try again.", "password authentication failed");
        let response: Response<String> = problem.into();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["content-type"], CONTENT_TYPE);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(
            response.body(),
            r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"Try again."}"#
        );
    }

    #[test]
    fn a_problem_may_have_a_type() {
        let problem = Problem::new(StatusCode::NOT_FOUND, "No such thing.");
        let body = problem.of_type("urn:problem:thing-not-found").body();
        assert!(body.starts_with(r#"{"type":"urn:problem:thing-not-found","title":"#), "{body}");
    }

    #[test]
    fn a_flood_of_faults_is_cut() {
        let problem = Problem::invalid(["x"; 1_000]);
        assert_eq!(problem.errors().len(), 101);
        assert_eq!(problem.errors()[100], "and 900 more");
    }
}

//! What happens around every request: its id, its log span, its metrics, and whatever goes wrong turned into a problem.

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_util::FutureExt as _;
use poem::http::{HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, IntoResponse as _, PathPattern, Request, Response};
use tracing::Instrument as _;

use super::memory::AnswerMemory;
use super::metrics::{self, NO_ROUTE, RouteAnswers, Unanswered};
use super::problem::{CONTENT_TYPE, Cause, Problem};
use super::request_id::{HEADER, RequestId};
use super::traced::{Traced, shortened};

/// The methods of what can only be read.
const READS: &str = "GET, HEAD";

/// What is known about a route.
pub(super) struct Call {
    /// Its path as the document shows it: `/api/orders/{id}`.
    path: String,
    /// The `Allow` that a 405 must have, and that the framework does not send.
    allow: String,
    answers: RouteAnswers,
}

impl Call {
    pub(super) fn new(path: String) -> Self {
        Self { path, allow: String::new(), answers: RouteAnswers::default() }
    }

    /// Whether a path is this one with its parameters filled in.
    fn takes(&self, path: &str) -> bool {
        let (mut own, mut given) = (self.path.split('/'), path.split('/'));
        loop {
            match (own.next(), given.next()) {
                (None, None) => return true,
                (Some(own), Some(given)) if own == given => {}
                (Some(own), Some(given)) if own.starts_with('{') && !given.is_empty() => {}
                _ => return false,
            }
        }
    }

    /// It answers to `method` too.
    pub(super) fn allow(&mut self, method: &Method) {
        if !self.allow.is_empty() {
            self.allow.push_str(", ");
        }
        self.allow.push_str(method.as_str());
    }
}

/// An endpoint in its frame.
pub(super) struct Frame<E> {
    inner: E,
    /// The calls of the API by their routes.
    calls: HashMap<String, Call>,
    memory: AnswerMemory,
}

impl<E> Frame<E> {
    pub(super) fn new(inner: E, calls: HashMap<String, Call>) -> Self {
        for call in calls.values() {
            metrics::has_route(&call.path);
        }
        Self { inner, calls, memory: AnswerMemory::default() }
    }

    fn call_of(&self, pattern: &PathPattern) -> Option<&Call> {
        self.calls.get(&*pattern.0)
    }

    /// The path of the call that a request is for, as the document shows it; known before the framework has looked.
    fn route_of(&self, path: &str) -> &str {
        let call = self.calls.values().find(|call| call.takes(path));
        call.map_or(NO_ROUTE, |call| &call.path)
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Frame<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let started = Instant::now();
        let id = RequestId::of(&request);
        let method = label(request.method());
        let traced = Traced::begin(&request, method);
        let trace_id = traced.id().map(tracing::field::display);
        let path = shortened(request.uri().path());
        let unanswered = Unanswered::new(self.route_of(request.uri().path()));
        let span = tracing::info_span!("request", request_id = %id, trace_id, method, path);
        // In a box: the framework's future is large, and each of the layers around it would move it.
        let answer = Box::pin(self.answer(request));
        let answered = async {
            let mut response = traced.within(answer).await;
            response.headers_mut().insert(HEADER, id.header());

            // The route's pattern, never the path: clients must not be able to make new time series.
            let pattern = response.data::<PathPattern>();
            let call = pattern.and_then(|pattern| self.call_of(pattern));
            let route = match (call, pattern) {
                (Some(call), _) => &call.path,
                (None, Some(pattern)) => &*pattern.0,
                (None, None) => NO_ROUTE,
            };
            let (status, elapsed) = (response.status(), started.elapsed());
            traced.end(method, route, status);
            let (code, seconds) = (status.as_u16(), elapsed.as_secs_f64());
            tracing::debug!(target: "access", route, status = code, seconds, "answered");
            match call {
                Some(call) => call.answers.answered(method, route, status, elapsed),
                None => metrics::answered(method, route, status, elapsed),
            }
            response
        };
        let response = answered.instrument(span).await;
        unanswered.answered();
        Ok(response)
    }
}

impl<E: Endpoint<Output = Response>> Frame<E> {
    async fn answer(&self, request: Request) -> Response {
        // The routes expect a path; `OPTIONS *` and `CONNECT host:port` have none.
        if !request.uri().path().starts_with('/') || request.method() == Method::CONNECT {
            return Problem::new(StatusCode::BAD_REQUEST, "The request names no path.")
                .into_response();
        }
        if !is_utf8(request.uri().path()) {
            return Problem::new(StatusCode::NOT_FOUND, detail(StatusCode::NOT_FOUND))
                .into_response();
        }
        let mut response = match AssertUnwindSafe(self.inner.call(request)).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => error.into_response(),
            Err(panic) => Problem::internal(words(panic.as_ref())).into_response(),
        };
        if response.status().as_u16() >= 400 && response.content_type() != Some(CONTENT_TYPE) {
            response = self.foreign(response).await;
        }
        if !self.memory.hold(&mut response) {
            response = instead(
                &response,
                Problem::unavailable(
                    "Too many large answers wait for their clients; try again soon.",
                    "the limit on memory for answers",
                ),
            );
        }
        log(&response);
        response
    }

    /// An error of the framework's own, as a problem.
    async fn foreign(&self, mut response: Response) -> Response {
        let status = response.status();
        let pattern = response.data::<PathPattern>();
        let mut problem = Problem::new(status, detail(status));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            let allow = pattern
                .and_then(|pattern| self.call_of(pattern))
                .map_or(READS, |call| call.allow.as_str());
            if let Ok(allow) = HeaderValue::from_str(allow) {
                problem = problem.header(header::ALLOW, allow);
            }
        }
        if status.is_server_error() {
            let words = response.take_body().into_string().await;
            problem = problem.caused_by(words.unwrap_or_default());
        }
        instead(&response, problem)
    }
}

/// What the operations port has of a frame: the request's id in each answer, and errors of the framework's own as problems.
/// Without log span, trace and metrics: probes come all the time.
pub(crate) async fn frame_operations(
    inner: impl Endpoint<Output = Response>,
    request: Request,
) -> poem::Result<Response> {
    let id = RequestId::of(&request);
    let mut response = inner.call(request).await.unwrap_or_else(|error| {
        let mut problem = Problem::new(error.status(), detail(error.status()));
        if error.status() == StatusCode::METHOD_NOT_ALLOWED {
            problem = problem.header(header::ALLOW, HeaderValue::from_static(READS));
        }
        problem.into_response()
    });
    response.headers_mut().insert(HEADER, id.header());
    Ok(response)
}

/// A problem in the place of `response`, of the same route.
fn instead(response: &Response, problem: Problem) -> Response {
    let mut instead = problem.into_response();
    if let Some(pattern) = response.data::<PathPattern>() {
        instead.set_data(pattern.clone());
    }
    instead
}

/// Whether what a path means, its escapes resolved, is text. The framework takes all else for a mistake in the request,
/// while for the client there is just nothing of that name.
fn is_utf8(path: &str) -> bool {
    if !path.contains('%') {
        return true;
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%')
            .then(|| after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    std::str::from_utf8(&bytes).is_ok()
}

/// A 5xx says once, here, why.
fn log(response: &Response) {
    let status = response.status();
    if !status.is_server_error() {
        return;
    }
    let cause = response.data::<Cause>().map_or("unknown", |cause| cause.0.as_ref());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        tracing::warn!(status = status.as_u16(), cause, "a request was put off");
    } else {
        tracing::error!(status = status.as_u16(), cause, "a request failed");
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without words"))
}

fn detail(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "There is nothing here.",
        StatusCode::METHOD_NOT_ALLOWED => {
            "This path does not know the method; see the Allow header."
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "The Content-Type must be application/json.",
        _ if status.is_server_error() => {
            "Something went wrong here; the log knows more under the request's id."
        }
        _ => "The request can't be understood.",
    }
}

/// The method as a metric's label: one of few, whatever the client sent.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests;

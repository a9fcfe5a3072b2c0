//! Middleware around every request: request id, log span, trace span, metrics, and errors as
//! problems.

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_util::FutureExt as _;
use poem::http::{HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, IntoResponse as _, PathPattern, Request, Response};
use tracing::Instrument as _;

use super::metrics::{self, RouteMetrics};
use super::problem::{CONTENT_TYPE, Cause, Problem};
use super::request_span::{RequestSpan, truncate_path};
use super::response_memory::ResponseMemory;
use crate::listener::{AbandonGuard, HEADER, NO_ROUTE, RequestId, register_route};

/// The methods of read-only routes.
const READ_METHODS: &str = "GET, HEAD";

/// A route of the API.
pub(super) struct ApiRoute {
    /// The path as the OpenAPI document shows it: `/api/orders/{id}`.
    path: String,
    /// The `Allow` header of a 405, which the framework does not send.
    allow: String,
    metrics: RouteMetrics,
}

impl ApiRoute {
    pub(super) fn new(path: String) -> Self {
        Self { path, allow: String::new(), metrics: RouteMetrics::default() }
    }

    /// Returns true if `path` matches the route.
    fn matches(&self, path: &str) -> bool {
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

    /// Adds a method that the route accepts.
    pub(super) fn allow(&mut self, method: &Method) {
        if !self.allow.is_empty() {
            self.allow.push_str(", ");
        }
        self.allow.push_str(method.as_str());
    }
}

/// An endpoint with the middleware around it.
pub(super) struct Middleware<E> {
    inner: E,
    /// The routes of the API by the framework's patterns.
    routes: HashMap<String, ApiRoute>,
    memory: ResponseMemory,
}

impl<E> Middleware<E> {
    pub(super) fn new(inner: E, routes: HashMap<String, ApiRoute>) -> Self {
        for route in routes.values() {
            register_route(&route.path);
        }
        Self { inner, routes, memory: ResponseMemory::default() }
    }

    fn find_route(&self, pattern: &PathPattern) -> Option<&ApiRoute> {
        self.routes.get(&*pattern.0)
    }

    /// Returns the route of a path as the OpenAPI document shows it, before the framework has
    /// routed the request.
    fn route_for_path(&self, path: &str) -> &str {
        let route = self.routes.values().find(|route| route.matches(path));
        route.map_or(NO_ROUTE, |route| &route.path)
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Middleware<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let started = Instant::now();
        let id = RequestId::of(request.headers());
        let method = method_label(request.method());
        let request_span = RequestSpan::start(&request, method);
        let trace_id = request_span.trace_id().map(tracing::field::display);
        let path = truncate_path(request.uri().path());
        let abandon_guard = AbandonGuard::new(self.route_for_path(request.uri().path()));
        let span = tracing::info_span!("request", request_id = %id, trace_id, method, path);
        // Boxed: the framework's future is large, and each layer around it would copy it.
        let response = Box::pin(self.respond(request));
        let answered = async {
            let mut response = request_span.scope(response).await;
            response.headers_mut().insert(HEADER, id.header());

            // The route's pattern, not the path: clients must not be able to create time series.
            let pattern = response.data::<PathPattern>();
            let known = pattern.and_then(|pattern| self.find_route(pattern));
            let route = match (known, pattern) {
                (Some(known), _) => &known.path,
                (None, Some(pattern)) => &*pattern.0,
                (None, None) => NO_ROUTE,
            };
            let (status, elapsed) = (response.status(), started.elapsed());
            request_span.end(method, route, status);
            let (code, seconds) = (status.as_u16(), elapsed.as_secs_f64());
            tracing::debug!(target: "access", route, status = code, seconds, "answered");
            match known {
                Some(known) => known.metrics.record_request(method, route, status, elapsed),
                None => metrics::record_request(method, route, status, elapsed),
            }
            response
        };
        let response = answered.instrument(span).await;
        abandon_guard.disarm();
        Ok(response)
    }
}

impl<E: Endpoint<Output = Response>> Middleware<E> {
    async fn respond(&self, request: Request) -> Response {
        // The router expects a path; `OPTIONS *` and `CONNECT host:port` have none.
        if !request.uri().path().starts_with('/') || request.method() == Method::CONNECT {
            return Problem::new(StatusCode::BAD_REQUEST, "The request names no path.")
                .into_response();
        }
        if !is_utf8(request.uri().path()) {
            return Problem::new(StatusCode::NOT_FOUND, status_detail(StatusCode::NOT_FOUND))
                .into_response();
        }
        let mut response = match AssertUnwindSafe(self.inner.call(request)).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => error.into_response(),
            Err(panic) => Problem::internal(panic_message(panic.as_ref())).into_response(),
        };
        if response.status().as_u16() >= 400 && response.content_type() != Some(CONTENT_TYPE) {
            response = self.framework_error(response).await;
        }
        if !self.memory.reserve(&mut response) {
            response = replace_response(
                &response,
                Problem::unavailable(
                    "Too many large answers wait for their clients; try again soon.",
                    "the limit on memory for answers",
                ),
            );
        }
        log_server_error(&response);
        response
    }

    /// Turns an error response of the framework into a problem.
    async fn framework_error(&self, mut response: Response) -> Response {
        let status = response.status();
        let pattern = response.data::<PathPattern>();
        let mut problem = Problem::new(status, status_detail(status));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            let allow = pattern
                .and_then(|pattern| self.find_route(pattern))
                .map_or(READ_METHODS, |route| route.allow.as_str());
            if let Ok(allow) = HeaderValue::from_str(allow) {
                problem = problem.header(header::ALLOW, allow);
            }
        }
        if status.is_server_error() {
            let cause = response.take_body().into_string().await;
            problem = problem.caused_by(cause.unwrap_or_default());
        }
        replace_response(&response, problem)
    }
}

/// Replaces `response` by a problem, and keeps its route.
fn replace_response(response: &Response, problem: Problem) -> Response {
    let mut replacement = problem.into_response();
    if let Some(pattern) = response.data::<PathPattern>() {
        replacement.set_data(pattern.clone());
    }
    replacement
}

/// Returns true if the percent-decoded path is UTF-8. The framework answers other paths with 400,
/// though for the client there is just no such resource.
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

/// Logs a 5xx response with its cause. The one place where that is logged.
fn log_server_error(response: &Response) {
    let status = response.status();
    if !status.is_server_error() {
        return;
    }
    let cause = response.data::<Cause>().map_or("unknown", |cause| cause.0.as_ref());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        tracing::warn!(status = status.as_u16(), cause, "request rejected");
    } else {
        tracing::error!(status = status.as_u16(), cause, "request failed");
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without words"))
}

fn status_detail(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "No such resource.",
        StatusCode::METHOD_NOT_ALLOWED => {
            "This path does not know the method; see the Allow header."
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "The Content-Type must be application/json.",
        _ if status.is_server_error() => {
            "Internal error. The log has details under this request id."
        }
        _ => "The request can't be understood.",
    }
}

/// Returns the method as a metric's label: one of a fixed set, whatever the client sent.
fn method_label(method: &Method) -> &'static str {
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

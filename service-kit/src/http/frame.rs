//! What happens around every request: its id, its log span, its metrics, and whatever goes wrong turned into a problem.

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use poem::http::{HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, IntoResponse as _, PathPattern, Request, Response};
use tracing::Instrument as _;

use super::problem::{CONTENT_TYPE, Cause, Problem};
use super::request_id::{HEADER, RequestId};

/// An endpoint in its frame.
pub(super) struct Frame<E> {
    inner: E,
    /// Routes with the methods that they answer to.
    allowed: HashMap<String, String>,
}

impl<E> Frame<E> {
    pub(super) const fn new(inner: E, allowed: HashMap<String, String>) -> Self {
        Self { inner, allowed }
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Frame<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let started = Instant::now();
        let id = RequestId::of(&request);
        let method = label(request.method());
        let span = tracing::info_span!("request", %id, method, path = request.uri().path());
        request.set_data(id.clone());
        let mut response = self.answer(request).instrument(span).await;
        response.headers_mut().insert(HEADER, id.header());

        // The route's pattern, never the path: clients must not be able to make new time series.
        let route = response
            .data::<PathPattern>()
            .map_or_else(|| Arc::from("none"), |pattern| Arc::clone(&pattern.0));
        let status = response.status().as_str().to_owned();
        metrics::counter!("http_requests_total", "method" => method, "route" => route.to_string(), "status" => status)
            .increment(1);
        metrics::histogram!("http_request_duration_seconds", "method" => method, "route" => route.to_string())
            .record(started.elapsed());
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
        let mut response = match AssertUnwindSafe(self.inner.call(request)).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => error.into_response(),
            Err(panic) => Problem::internal(words(panic.as_ref())).into_response(),
        };
        if response.status().as_u16() >= 400 && response.content_type() != Some(CONTENT_TYPE) {
            response = self.foreign(response).await;
        }
        log(&response);
        response
    }

    /// An error of the framework's own, as a problem.
    async fn foreign(&self, response: Response) -> Response {
        let status = response.status();
        let pattern = response.data::<PathPattern>().cloned();
        let mut problem = Problem::new(status, detail(status));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            let allow = pattern
                .as_ref()
                .and_then(|pattern| self.allowed.get(&*pattern.0))
                .map_or("GET, HEAD", String::as_str);
            if let Ok(allow) = HeaderValue::from_str(allow) {
                problem = problem.header(header::ALLOW, allow);
            }
        }
        if status.is_server_error() {
            let words = response.into_body().into_string().await;
            problem = problem.caused_by(words.unwrap_or_default());
        }
        let mut response = problem.into_response();
        if let Some(pattern) = pattern {
            response.set_data(pattern);
        }
        response
    }
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

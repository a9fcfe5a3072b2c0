//! Responses: pages, JSON, files, redirections, each with the headers that keep a browser from
//! doing more with it than showing it.

use poem::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use poem::{Body, Response};

/// Nothing but what the console itself serves, and no inline scripts and styles (Content Security
/// Policy Level 3).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The headers of every response.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Adds the headers of every response.
pub(super) fn add_headers(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Pages show what is personal, and are old soon.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// A page.
pub(super) fn html(status: StatusCode, page: String) -> Response {
    with_type(status, "text/html; charset=utf-8", page)
}

/// A JSON document.
pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    with_type(status, "application/json", value.to_string())
}

/// The text of a JSON document.
pub(super) fn document(text: String) -> Response {
    with_type(StatusCode::OK, "application/json", text)
}

/// An error for a program (RFC 9457): what is wrong, what may help, and one sentence for each fault
/// of a request.
pub(super) fn problem(
    status: StatusCode,
    detail: &str,
    remedy: &str,
    errors: &[String],
) -> Response {
    let mut problem = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail,
    });
    if !remedy.is_empty() {
        problem["remedy"] = remedy.into();
    }
    if !errors.is_empty() {
        problem["errors"] = errors.into();
    }
    with_type(status, service_kit::http::problem::CONTENT_TYPE, problem.to_string())
}

/// A file of the console's own, which changes with its release only.
pub(super) fn file(content_type: &'static str, text: &'static str) -> Response {
    Response::builder()
        .content_type(content_type)
        .header(header::CACHE_CONTROL, "max-age=3600")
        .body(text)
}

/// Sends the browser to another page of the console, with GET.
pub(super) fn see_other(path: &str) -> Response {
    Response::builder().status(StatusCode::SEE_OTHER).header(header::LOCATION, path).finish()
}

fn with_type(status: StatusCode, content_type: &str, body: impl Into<Body>) -> Response {
    Response::builder().status(status).content_type(content_type).body(body)
}

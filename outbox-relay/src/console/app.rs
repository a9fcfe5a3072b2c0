//! Answers requests: checks where they come from and who sends them, then gives them to a page.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use poem::http::{HeaderValue, Method, StatusCode, header};
use poem::{Addr, Endpoint, IntoResponse as _, Request, Response};
use serde_json::{Value, json};
use service_kit::http::read_body;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Console;
use super::form::Form;
use super::pages::{self, NoPage, Page, PageRequest, back};
use super::refusals::{refuse_login, refuse_suspicion, text};
use super::responses;
use super::rights::Rights;
use super::users::User;

/// The largest form: a payload with what it was before.
const LARGEST_FORM: usize = 8 * 1024 * 1024;

/// How many forms are read at a time.
pub(super) const FORMS: usize = 2;

/// What a browser may keep: path, type, text.
const FILES: [(&str, &str, &str); 3] = [
    ("style.css", "text/css; charset=utf-8", include_str!("assets/style.css")),
    ("console.js", "text/javascript; charset=utf-8", include_str!("assets/console.js")),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

/// The console as an endpoint.
pub(super) struct App(pub(super) Arc<Console>);

impl Endpoint for App {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let (begun, method) = (Instant::now(), request.method().clone());
        let path = request.uri().path().to_owned();
        let answered = AssertUnwindSafe(Box::pin(self.0.respond(request))).catch_unwind().await;
        let mut response = answered.unwrap_or_else(|_| {
            tracing::error!(path, "a page panicked");
            responses::html(StatusCode::INTERNAL_SERVER_ERROR, "Internal error.".to_owned())
        });
        responses::add_headers(response.headers_mut());
        let (status, seconds) = (response.status().as_u16(), begun.elapsed().as_secs_f64());
        tracing::debug!(target: "access", %method, path, status, seconds, "answered");
        Ok(response)
    }
}

/// How a client wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Html,
    Json,
}

impl Console {
    async fn respond(&self, mut request: Request) -> Response {
        let address = match request.remote_addr().0 {
            Addr::SocketAddr(address) => address.ip(),
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        if let Err(suspicion) = self.checks.check(method, uri, headers, address) {
            return refuse_suspicion(&suspicion);
        }
        let Some(path) = parts(&self.prefix, uri.path()) else {
            return text(StatusCode::NOT_FOUND, "No such page.\n");
        };
        if let [folder, file] = path.as_slice()
            && folder == "assets"
        {
            let known = FILES.iter().find(|(name, _, _)| name == file);
            return known.map_or_else(
                || text(StatusCode::NOT_FOUND, "No such file.\n"),
                |(_, content_type, text)| responses::file(content_type, text),
            );
        }
        let is_proxy = self.checks.is_proxy(address);
        let address = self.checks.client(headers, address);
        let user = match self.login.user(headers, address, is_proxy) {
            Ok(user) => user,
            Err(refusal) => return refuse_login(&refusal),
        };
        let (path, format) = format(path, headers);
        let mut form = Form::parse(uri.query().unwrap_or_default());
        let shown_path = uri.path_and_query().map_or_else(String::new, ToString::to_string);
        match *request.method() {
            Method::GET | Method::HEAD => {
                if path == ["changes"] {
                    return responses::json(StatusCode::OK, &self.changes());
                }
                let request = PageRequest { user, path, form };
                let page = pages::find(self, &request).await;
                self.answer(&request, &shown_path, format, page)
            }
            Method::POST if path == ["operations"] => {
                if user.rights < Rights::Operator {
                    let why = NoPage::Forbidden(format!(
                        "This needs the rights of operator at least; {} has those of viewer.",
                        user.name
                    ));
                    let request = PageRequest { user, path, form };
                    return self.answer(&request, &shown_path, format, Err(why));
                }
                // Each large form is in memory several times.
                let Ok(_turn) = self.forms.acquire().await else {
                    return text(StatusCode::SERVICE_UNAVAILABLE, "The console ends.\n");
                };
                let body = request.take_body();
                match read_body(&request, body, LARGEST_FORM).await {
                    Ok(bytes) => form = Form::parse(&String::from_utf8_lossy(&bytes)),
                    Err(problem) => return problem.into_response(),
                }
                let request = PageRequest { user, path, form };
                match pages::begin(self, &request) {
                    Ok(id) => self.see_other(format, &format!("/operations/{id}")),
                    Err(why) => self.answer(&request, &shown_path, format, Err(why)),
                }
            }
            _ => {
                let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "No such method here.\n");
                let allowed = HeaderValue::from_static("GET, HEAD, POST");
                refused.headers_mut().insert(header::ALLOW, allowed);
                refused
            }
        }
    }

    /// Leads to another page, for programs in JSON too.
    fn see_other(&self, format: Format, path: &str) -> Response {
        let api = if format == Format::Json { "/api" } else { "" };
        responses::see_other(&format!("{}{api}{path}", self.prefix))
    }

    /// What tells an open page that it is old.
    fn changes(&self) -> Value {
        json!({ "version": self.history.version() })
    }

    fn answer(
        &self,
        request: &PageRequest,
        shown_path: &str,
        format: Format,
        page: Result<Page, NoPage>,
    ) -> Response {
        if let Err(NoPage::At(path)) = &page {
            return self.see_other(format, path);
        }
        let (status, template, title, section, command, data, problem) = match page {
            Ok(page) => {
                let Page { template, title, section, command, data } = page;
                (StatusCode::OK, template, title, section, command, data, Value::Null)
            }
            Err(why) => {
                let (status, title, detail, remedy) = why.describe();
                let data = json!({
                    "status": status.as_u16(),
                    "title": title,
                    "detail": detail,
                    "remedy": remedy,
                    "back": request.form.get("back").map(|_| back(&self.prefix, &request.form)),
                });
                let problem = data.clone();
                (status, "problem.html", title.to_owned(), "", None, data, problem)
            }
        };
        if format == Format::Json {
            return responses::json(status, &data);
        }
        let is_problem = !problem.is_null();
        let context = json!({
            "page": { "title": title, "nav": section, "path": shown_path },
            "prefix": self.prefix,
            "environment": self.environment,
            "user": user(&request.user),
            "command": command,
            "now": OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
            "version": env!("CARGO_PKG_VERSION"),
            "problem": if is_problem && template != "problem.html" { problem } else { Value::Null },
            "hide_payloads": self.hide_payloads,
            "has_desk": self.has_desk,
            "data": data,
            "form": request.form.to_object(),
        });
        match self.templates.render(template, context) {
            Ok(page) => responses::html(status, page),
            Err(error) => {
                tracing::error!(template, "a page could not be drawn: {error:#}");
                text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "This page could not be drawn. The log says why.\n",
                )
            }
        }
    }
}

/// The user for templates.
fn user(user: &User) -> Value {
    json!({
        "name": user.name,
        "rights": user.rights,
        "may_mend": user.rights >= Rights::Operator,
        "may_destroy": user.rights >= Rights::Admin,
    })
}

/// The parts of a path behind the prefix, decoded. None for a path that is not the console's.
fn parts(prefix: &str, path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix(prefix)?;
    if !path.is_empty() && !path.starts_with('/') {
        return None;
    }
    let parts = path.split('/').skip(1);
    let mut parts = parts
        .map(|part| {
            let decoded = percent_encoding::percent_decode_str(part).decode_utf8();
            decoded.ok().map(std::borrow::Cow::into_owned)
        })
        .collect::<Option<Vec<String>>>()?;
    if parts.last().is_some_and(String::is_empty) {
        parts.pop();
    }
    Some(parts)
}

/// JSON is asked for by the path or by the header; the path's first part is taken off then.
fn format(mut path: Vec<String>, headers: &poem::http::HeaderMap) -> (Vec<String>, Format) {
    if path.first().is_some_and(|part| part == "api") {
        path.remove(0);
        return (path, Format::Json);
    }
    let accepted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_json =
        accepted.is_some_and(|accept| accept.trim_start().starts_with("application/json"));
    (path, if is_json { Format::Json } else { Format::Html })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_what_stands_behind_the_prefix() {
        let parts = |prefix, path| parts(prefix, path).map(|parts| parts.join("|"));
        assert_eq!(parts("", "/"), Some(String::new()));
        assert_eq!(parts("", "/events/"), Some("events".to_owned()));
        assert_eq!(parts("", "/aggregates/a%2Fb/c%20d"), Some("aggregates|a/b|c d".to_owned()));
        assert_eq!(parts("/outbox", "/outbox"), Some(String::new()));
        assert_eq!(parts("/outbox", "/outbox/about"), Some("about".to_owned()));
        assert_eq!(parts("/outbox", "/outboxes"), None);
        assert_eq!(parts("/outbox", "/about"), None);
        assert_eq!(parts("", "/%ff"), None);
    }
}

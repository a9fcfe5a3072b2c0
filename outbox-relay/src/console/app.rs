//! Answers requests: checks where they come from and who sends them, then gives them to a page.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use poem::http::{HeaderValue, Method, StatusCode, header};
use poem::{Addr, Endpoint, Request, Response};
use serde_json::{Value, json};
use service_kit::http::documents;

use super::Console;
use super::answers::Asked;
use super::api::openapi_document;
use super::form::Form;
use super::format::Format;
use super::pages::{self, NoPage, PageRequest};
use super::refusals::Refused;
use super::responses;

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

impl Console {
    async fn respond(&self, request: Request) -> Response {
        let address = match request.remote_addr().0 {
            Addr::SocketAddr(address) => address.ip(),
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let path = parts(&self.prefix, uri.path()).map(|path| Format::of(path, headers));
        let format = path.as_ref().map_or(Format::Html, |(_, format)| *format);
        if let Err(suspicion) = self.checks.check(method, uri, headers, address) {
            return Refused::from(suspicion).response(format);
        }
        let Some((path, format)) = path else {
            return Refused::new(StatusCode::NOT_FOUND, "No such page.").response(format);
        };
        if let [folder, file] = path.as_slice()
            && folder == "assets"
        {
            let known = FILES.iter().find(|(name, _, _)| name == file);
            return known.map_or_else(
                || Refused::new(StatusCode::NOT_FOUND, "No such file.").response(format),
                |(_, content_type, text)| responses::file(content_type, text),
            );
        }
        let is_proxy = self.checks.is_proxy(address);
        let address = self.checks.client(headers, address);
        let user = match self.login.user(headers, address, is_proxy) {
            Ok(user) => user,
            Err(refusal) => return Refused::from(refusal).response(format),
        };
        let form = Form::parse(uri.query().unwrap_or_default());
        let shown_path = uri.path_and_query().map_or_else(String::new, ToString::to_string);
        // Before anything is read: what changes meanwhile makes the page old.
        let version = self.history.version();
        let asked = Asked { page: PageRequest { user, path, form }, shown_path, format, version };
        match *method {
            Method::GET | Method::HEAD if asked.page.path == ["changes"] => {
                responses::json(StatusCode::OK, &self.changes())
            }
            Method::GET | Method::HEAD if asked.page.path == ["openapi.json"] => {
                responses::document(openapi_document(&self.prefix, documents::Format::Json))
            }
            Method::GET | Method::HEAD if asked.page.path != ["operations"] => {
                let page = match asked.page.form.unusable() {
                    Some(name) => {
                        Err(NoPage::Invalid(format!("The field {name} has a NUL character.")))
                    }
                    None => pages::find(self, &asked.page).await,
                };
                self.answer(&asked, page)
            }
            Method::POST if asked.page.path == ["operations"] => self.post(request, asked).await,
            _ => Refused::new(StatusCode::METHOD_NOT_ALLOWED, "No such method here.")
                .with(header::ALLOW, HeaderValue::from_static(methods(&asked.page.path)))
                .response(format),
        }
    }

    /// What tells an open page that it is old.
    fn changes(&self) -> Value {
        json!({ "version": self.history.version() })
    }
}

/// The methods of a path.
fn methods(path: &[String]) -> &'static str {
    if path == ["operations"] { "POST" } else { "GET, HEAD" }
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

//! Swagger UI and the OpenAPI document.

use std::collections::HashMap;
use std::marker::PhantomData;

use clap::ValueEnum;
use hyper::body::Bytes;
use poem::endpoint::{BoxEndpoint, make_sync};
use poem::http::{Method, header};
use poem::{Endpoint, Response};
use poem_openapi::registry::{MetaApi, Registry};
use poem_openapi::{OpenApi, OpenApiService};
use serde_json::Value;

use super::openapi;

/// A paragraph for the description of an API: the responses that no operation documents, since the
/// request reaches none.
pub const OUTSIDE_OPERATIONS: &str = "Any request can also get one of these problems: 400 (it is not HTTP/1.1), 404 (no such path), \
     405 (`Allow` has the path's methods), 408 (its headers took too long to arrive), 431 (its request line and headers are larger \
     than 16 KiB, or more than 100), 503 (too many connections).";

/// The format of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// YAML
    Yaml,
    /// JSON
    Json,
}

/// Returns the OpenAPI document of `service`. The text is deterministic.
#[must_use]
pub fn document<T: OpenApi>(service: &OpenApiService<T, ()>, format: Format) -> String {
    let mut document: Value =
        serde_json::from_str(&service.spec()).expect("the framework writes valid JSON");
    openapi::complete(&mut document);
    match format {
        Format::Yaml => serde_yaml::to_string(&document).expect("a JSON value has a YAML form"),
        Format::Json => format!("{document:#}\n"),
    }
}

/// Returns an endpoint that serves the document.
pub(super) fn endpoint<T: OpenApi>(
    service: &OpenApiService<T, ()>,
    format: Format,
) -> impl Endpoint<Output = Response> + use<T> {
    // Shared by all responses, however slowly clients read.
    let text = Bytes::from(document(service, format));
    let content_type = match format {
        Format::Yaml => "application/yaml",
        Format::Json => "application/json",
    };
    make_sync(move |_| {
        Response::builder()
            .content_type(content_type)
            // Tools that run in a browser read the document from another origin.
            .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")
            .body(text.clone())
    })
}

/// Returns an endpoint that serves Swagger UI without external resources.
pub(super) fn ui<T: OpenApi>(
    service: &OpenApiService<T, ()>,
) -> impl Endpoint<Output = Response> + use<T> {
    let page = service.swagger_ui_html();
    let page = Bytes::from(page.replacen(&service.spec(), &document(service, Format::Json), 1));
    make_sync(move |_| {
        Response::builder().content_type("text/html; charset=utf-8").body(page.clone())
    })
}

/// An API without its state, for printing the OpenAPI document. It serves no requests.
#[derive(Debug, Clone, Copy)]
pub struct Described<T>(PhantomData<fn() -> T>);

impl<T> Default for Described<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: OpenApi> OpenApi for Described<T> {
    fn meta() -> Vec<MetaApi> {
        T::meta()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, _: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {}
}

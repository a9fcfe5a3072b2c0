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
    match format {
        Format::Yaml => service.spec_yaml(),
        Format::Json => format!("{}\n", service.spec()),
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
    let page = Bytes::from(service.swagger_ui_html());
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

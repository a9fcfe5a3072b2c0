//! Swagger UI and the OpenAPI document.

use clap::ValueEnum;
use poem::http::header;
use poem::{Endpoint, Response, endpoint::make_sync};
use poem_openapi::{OpenApi, OpenApiService};

/// How the document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// YAML
    Yaml,
    /// JSON
    Json,
}

/// The OpenAPI document of `service`, the same text each time.
#[must_use]
pub fn document<T: OpenApi>(service: &OpenApiService<T, ()>, format: Format) -> String {
    match format {
        Format::Yaml => service.spec_yaml(),
        Format::Json => format!("{}\n", service.spec()),
    }
}

/// Answers with the document.
pub(super) fn endpoint<T: OpenApi>(
    service: &OpenApiService<T, ()>,
    format: Format,
) -> impl Endpoint<Output = Response> + use<T> {
    let text = document(service, format);
    let content_type = match format {
        Format::Yaml => "application/yaml",
        Format::Json => "application/json",
    };
    make_sync(move |_| {
        Response::builder()
            .content_type(content_type)
            // Documents are read by tools that run in a browser elsewhere.
            .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")
            .body(text.clone())
    })
}

//! The OpenAPI document.

use poem_openapi::{OpenApi, OpenApiService};
use service_kit::http::documents::{self, Described, Format};
use service_kit::http::{self, Up};

use super::handlers::CustomersApi;

const DESCRIPTION: &str = "Customers, and how many orders each of them has made: a consumer counts every order once, soon after it \
was made. Errors are problems (RFC 9457); what is wrong with a request is told all at once.";

/// `api` with its description.
pub(super) fn service<T: OpenApi>(api: T) -> OpenApiService<T, ()> {
    http::api(api, "Customers", env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .license("MIT OR Apache-2.0")
}

/// The OpenAPI document, the same text each time.
#[must_use]
pub fn document(format: Format) -> String {
    documents::document(&service(Described::<(CustomersApi, Up)>::default()), format)
}

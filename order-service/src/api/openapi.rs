//! The OpenAPI document.

use poem_openapi::{OpenApi, OpenApiService};
use service_kit::http::documents::{self, Described, Format};
use service_kit::http::{self, Up};

use super::routes::OrdersApi;

const DESCRIPTION: &str = "Accepts orders and tells the world about them: an order and its event are written in one \
transaction, and a relay publishes the event. Errors are problems (RFC 9457); what is wrong with a request is told all at once.";

/// `api` with its description.
pub(crate) fn openapi_service<T: OpenApi>(api: T) -> OpenApiService<T, ()> {
    http::api(api, "Orders", env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .license("MIT OR Apache-2.0")
}

/// The OpenAPI document, the same text each time.
#[must_use]
pub fn openapi_document(format: Format) -> String {
    documents::document(&openapi_service(Described::<(OrdersApi, Up)>::default()), format)
}

//! The OpenAPI document.

use poem_openapi::{OpenApi, OpenApiService, ServerObject};
use service_kit::http::documents::{self, Described, Format, OUTSIDE_OPERATIONS};
use service_kit::http::{self, Up};

use super::handlers::CustomersApi;

const DESCRIPTION: &str = "Create customers and read them, with the number of their orders.

A consumer counts each order once, soon after it was created.

Errors are `application/problem+json` (RFC 9457). An invalid request gets 422 with all its errors at \
once; unknown members and query parameters are errors. Every response has an `X-Request-Id`.

**Try it** in the local stack: *List customers* shows Juan Perez, Maria Gomez and Carlos Ruiz with the \
number of their orders. Create orders in the Orders API ([/docs on port \
3000](http://127.0.0.1:3000/docs)) and list them again. A customer whom you create here can order at once.";

/// Returns `api` with its description.
pub(super) fn openapi_service<T: OpenApi>(api: T) -> OpenApiService<T, ()> {
    http::api(api, "Customers API", env!("CARGO_PKG_VERSION"))
        .description(format!("{DESCRIPTION}\n\n{OUTSIDE_OPERATIONS}"))
        .license("MIT OR Apache-2.0")
        .server(ServerObject::new("/").description("The host that serves this document"))
        .server(ServerObject::new("http://127.0.0.1:3001").description("The default LISTEN_ADDR"))
}

/// Returns the OpenAPI document, the same text each time.
#[must_use]
pub fn openapi_document(format: Format) -> String {
    documents::document(&openapi_service(Described::<(CustomersApi, Up)>::default()), format)
}

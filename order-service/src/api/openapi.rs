//! The OpenAPI document.

use poem_openapi::{OpenApi, OpenApiService, ServerObject};
use service_kit::http::documents::{self, Described, Format, OUTSIDE_OPERATIONS};
use service_kit::http::{self, Up};

use super::handlers::OrdersApi;

const DESCRIPTION: &str = "Create orders, read them, and update their status.

Each change is written together with an event in one transaction, and a relay publishes the event to \
RabbitMQ as `order.<status>`.

Errors are `application/problem+json` (RFC 9457). An invalid request gets 422 with all its errors at \
once; unknown members and query parameters are errors. Every response has an `X-Request-Id`.

**Try it** with the customers of the local stack: Juan Perez (`11111111-1111-1111-1111-111111111111`), \
Maria Gomez (`22222222-2222-2222-2222-222222222222`) and Carlos Ruiz (`33333333-3333-3333-3333-333333333333`).

1. *Create an order* for Juan. Order and event are written in one transaction: 201.
2. Get Juan in the Customers API ([/docs on port 3001](http://127.0.0.1:3001/docs)): `orders_count` is one higher.
3. *Update the order's status* to `processing`, then to `shipped`: two more events. Back to `created`: 409.
4. Order for `99999999-9999-9999-9999-999999999999`: 422, there is no such customer.
5. Kill the broker (`cargo xtask demo`, or `docker compose kill rabbitmq`) and order for Maria: 201 all the same. \
Her count follows when the broker is back.";

/// Returns `api` with its description.
pub(crate) fn openapi_service<T: OpenApi>(api: T) -> OpenApiService<T, ()> {
    http::api(api, "Orders API", env!("CARGO_PKG_VERSION"))
        .description(format!("{DESCRIPTION}\n\n{OUTSIDE_OPERATIONS}"))
        .license("MIT OR Apache-2.0")
        .server(ServerObject::new("/").description("The host that serves this document"))
        .server(ServerObject::new("http://127.0.0.1:3000").description("The default LISTEN_ADDR"))
}

/// Returns the OpenAPI document, the same text each time.
#[must_use]
pub fn openapi_document(format: Format) -> String {
    documents::document(&openapi_service(Described::<(OrdersApi, Up)>::default()), format)
}

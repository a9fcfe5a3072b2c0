//! The OpenAPI document of the console's API.

use std::collections::HashMap;

use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem_openapi::registry::{MetaApi, MetaPath, MetaSecurityScheme, MetaTag, Registry};
use poem_openapi::types::Type as _;
use poem_openapi::{OpenApi, OpenApiService, ServerObject};
use service_kit::http::documents::{self, Format, OUTSIDE_OPERATIONS};

use super::call::{BASIC, BEARER};
use super::calls::{CALLS, TAGS};
use super::schemas::Problem;

const DESCRIPTION: &str = "What `outbox-relay console` shows, as JSON, and what it can change.

Each answer is what one of the commands prints with `--json`, so that program and person see the same. \
Errors are `application/problem+json` (RFC 9457); `remedy` says what may help.

**Who may do what** stands in `CONSOLE_USERS_FILE`, a line for each program and person: the rights `viewer` (read), \
`operator` (mend as well) or `admin` (destroy as well). The database keeps each to them.

**To change what a filter selects**, get `/api/confirm/{action}` with the filter, then post `count` as `expect` and `up_to_id` \
with the same filter to `/api/operations`: what came since is left as it is, and if another number matches by then, nothing is changed.";

/// The API for the document alone: pages and JSON are answered by the same code, which a test holds
/// against the document.
struct ConsoleApi;

impl OpenApi for ConsoleApi {
    fn meta() -> Vec<MetaApi> {
        let paths = CALLS.iter().map(|call| MetaPath {
            path: call.path.to_owned(),
            operations: vec![call.operation()],
        });
        vec![MetaApi { paths: paths.collect() }]
    }

    fn register(registry: &mut Registry) {
        for (name, description) in TAGS {
            registry.create_tag(MetaTag {
                name,
                description: Some(description),
                external_docs: None,
            });
        }
        for (name, scheme, description) in [
            (BASIC, "basic", "A name and a password (`CONSOLE_AUTH=basic`)"),
            (
                BEARER,
                "bearer",
                "The secret of a line of `CONSOLE_USERS_FILE` (`CONSOLE_AUTH=token` or `basic`)",
            ),
        ] {
            registry.create_security_scheme(
                name,
                MetaSecurityScheme {
                    ty: "http",
                    description: Some(description),
                    name: None,
                    key_in: None,
                    scheme: Some(scheme),
                    bearer_format: None,
                    flows: None,
                    openid_connect_url: None,
                },
            );
        }
        Problem::register(registry);
        for call in &CALLS {
            call.register(registry);
        }
    }

    fn add_routes(self, _: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {}
}

/// Returns the OpenAPI document of the console's API below `prefix`, the same text each time.
#[must_use]
pub fn openapi_document(prefix: &str, format: Format) -> String {
    let host = if prefix.is_empty() { "/" } else { prefix };
    let service = OpenApiService::new(ConsoleApi, "Outbox console", env!("CARGO_PKG_VERSION"))
        .description(format!("{DESCRIPTION}\n\n{OUTSIDE_OPERATIONS}"))
        .license("MIT OR Apache-2.0")
        .server(ServerObject::new(host).description("The host that serves this document"))
        .server(ServerObject::new("http://127.0.0.1:9010").description("The default CONSOLE_ADDR"));
    documents::document(&service, format)
}

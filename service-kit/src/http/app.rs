//! The HTTP application: an API, its OpenAPI document, and the middleware around both.

use std::collections::HashMap;

use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem::{Endpoint, IntoEndpoint as _, Request, Response, Route, get};
use poem_openapi::payload::PlainText;
use poem_openapi::{ExtraHeader, OpenApi, OpenApiService, Tags};

use super::documents::{self, Format};
use super::middleware::{ApiRoute, Middleware};

/// Describes `api`, with the headers that every response has.
pub fn api<T: OpenApi>(api: T, title: &str, version: &str) -> OpenApiService<T, ()> {
    let id = ExtraHeader::new("x-request-id")
        .description("The request's id: the client's if it sent a valid one, else generated");
    OpenApiService::new(api, title, version).extra_response_header::<String, _>(id)
}

/// Returns the application: the operations of `service`, `/docs`, `/openapi.json` and
/// `/openapi.yaml`. Every error leaves it as a problem.
pub fn app<T: OpenApi + 'static>(
    service: OpenApiService<T, ()>,
) -> impl Endpoint<Output = Response> {
    let documents = Route::new()
        .at(UI, get(documents::ui(&service)))
        .at(JSON, get(documents::endpoint(&service, Format::Json)))
        .at(YAML, get(documents::endpoint(&service, Format::Yaml)));
    let app = App { documents, api: service.into_endpoint() };
    Middleware::new(app, routes::<T>())
}

const UI: &str = "/docs";
const JSON: &str = "/openapi.json";
const YAML: &str = "/openapi.yaml";

/// Dispatches to the documents or the API. Nesting the API's routes in a route would parse the path
/// of each request once more.
struct App {
    documents: Route,
    api: BoxEndpoint<'static>,
}

impl Endpoint for App {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        match request.uri().path() {
            // In a box: each of the API's requests would have room for it.
            UI | JSON | YAML => Box::pin(self.documents.call(request)).await,
            _ => self.api.call(request).await,
        }
    }
}

/// Returns the routes of an API by the framework's patterns, in which parameters are named
/// `:param0`, `:param1` and so on.
fn routes<T: OpenApi>() -> HashMap<String, ApiRoute> {
    let mut routes: HashMap<String, ApiRoute> = HashMap::new();
    for path in T::meta().into_iter().flat_map(|api| api.paths) {
        let mut parameters = 0;
        let segments = path.path.split('/').map(|segment| {
            if segment.starts_with('{') {
                parameters += 1;
                format!(":param{}", parameters - 1)
            } else {
                segment.to_owned()
            }
        });
        let route = segments.collect::<Vec<_>>().join("/");
        let api_route = routes.entry(route).or_insert_with(|| ApiRoute::new(path.path.clone()));
        for operation in path.operations {
            api_route.allow(&operation.method);
            if operation.method == Method::GET {
                api_route.allow(&Method::HEAD);
            }
        }
    }
    routes
}

/// The operation `GET /up`, a liveness check on the API's own port.
#[derive(Debug, Clone, Copy)]
pub struct Up;

#[derive(Tags)]
enum Tag {
    /// Whether the process is alive
    #[oai(rename = "health")]
    Health,
}

#[expect(clippy::unused_async, reason = "the framework's macro wants it")]
#[OpenApi(tag = "Tag::Health")]
impl Up {
    /// Check that the process is alive
    ///
    /// Does not check its dependencies; `/readyz` on the operations port does.
    #[oai(path = "/up", method = "get", operation_id = "up")]
    async fn up(&self) -> PlainText<&'static str> {
        PlainText("up\n")
    }
}

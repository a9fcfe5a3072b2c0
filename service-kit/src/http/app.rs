//! A whole HTTP application: an API, its documents, and the frame around them.

use std::collections::HashMap;

use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem::{Endpoint, IntoEndpoint as _, Request, Response, Route, get};
use poem_openapi::{ExtraHeader, OpenApi, OpenApiService};

use super::documents::{self, Format};
use super::frame::{Call, Frame};

/// Describes `api`, with what every answer has.
pub fn api<T: OpenApi>(api: T, title: &str, version: &str) -> OpenApiService<T, ()> {
    let id = ExtraHeader::new("x-request-id")
        .description("The request's id: the client's own when it sent a sane one, else a new one");
    OpenApiService::new(api, title, version).extra_response_header::<String, _>(id)
}

/// The application: the calls of `service`, `/docs`, `/openapi.json` and `/openapi.yaml`. Whatever goes wrong in it
/// leaves as a problem.
pub fn app<T: OpenApi + 'static>(
    service: OpenApiService<T, ()>,
) -> impl Endpoint<Output = Response> {
    let documents = Route::new()
        .at(UI, get(documents::ui(&service)))
        .at(JSON, get(documents::endpoint(&service, Format::Json)))
        .at(YAML, get(documents::endpoint(&service, Format::Yaml)));
    let app = App { documents, api: service.into_endpoint() };
    Frame::new(app, calls::<T>())
}

const UI: &str = "/docs";
const JSON: &str = "/openapi.json";
const YAML: &str = "/openapi.yaml";

/// The documents and the API beside each other. Nesting the API's routes in others would parse each request's path once more.
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

/// The calls of an API by their routes: the framework names the parameters of its routes `:param0`, `:param1` and so on.
fn calls<T: OpenApi>() -> HashMap<String, Call> {
    let mut calls: HashMap<String, Call> = HashMap::new();
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
        let call = calls.entry(route).or_insert_with(|| Call::new(path.path.clone()));
        for operation in path.operations {
            call.allow(&operation.method);
            if operation.method == Method::GET {
                call.allow(&Method::HEAD);
            }
        }
    }
    calls
}

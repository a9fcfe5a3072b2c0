//! A whole HTTP application: an API, its documents, and the frame around them.

use std::collections::HashMap;

use poem::http::Method;
use poem::{Endpoint, Response, Route, get};
use poem_openapi::{ExtraHeader, OpenApi, OpenApiService};

use super::documents::{self, Format};
use super::frame::Frame;

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
    let allowed = allowed::<T>();
    let routes = Route::new()
        .at("/docs", get(service.swagger_ui()))
        .at("/openapi.json", get(documents::endpoint(&service, Format::Json)))
        .at("/openapi.yaml", get(documents::endpoint(&service, Format::Yaml)))
        .nest("/", service);
    Frame::new(routes, allowed)
}

/// The methods of each route, for the `Allow` that a 405 must have and the framework does not send.
fn allowed<T: OpenApi>() -> HashMap<String, String> {
    let paths = T::meta().into_iter().flat_map(|api| api.paths);
    paths
        .map(|path| {
            let route = path.path.replace('{', ":").replace('}', "");
            let mut methods: Vec<Method> =
                path.operations.into_iter().map(|operation| operation.method).collect();
            if methods.contains(&Method::GET) {
                methods.push(Method::HEAD);
            }
            let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
            (route, names.join(", "))
        })
        .collect()
}

//! What the HTTP APIs share. [`app`] puts the middleware around an API, and [`serve`] runs it on a
//! listener.
//!
//! | module | what it does |
//! |---|---|
//! | `app`, `middleware` | an API with request ids, spans, metrics, and errors as problems |
//! | `request_span`, `metrics` | what the middleware adds to each request, beside its id |
//! | [`problem`], `error_responses` | RFC 9457 problems, and which of them an operation documents |
//! | [`payload`], `body`, [`fields`], [`json`] | JSON bodies within limits; all faults at once |
//! | [`parameters`], [`page`] | query parameters, likewise; keyset pages and their `Link` |
//! | `json_response` | JSON responses |
//! | `response_memory` | the memory that large responses may take |
//! | [`documents`], `openapi` | Swagger UI and the OpenAPI document |
//! | `serve` | the application on the listener |
//!
//! An operation takes [`JsonBody<T>`](JsonBody), [`Parameters`] or [`NoParameters`], with
//! [`Unparsed`](parameters::Unparsed) ones for the document, and returns
//! `Result<_, ErrorResponse<S>>`, where `S` lists the error statuses for the document:
//!
//! ```
//! use poem_openapi::{Object, OpenApi, payload::Json};
//! use service_kit::http::{self, Fields, FromBody, FromJson, JsonBody, Problem};
//! use service_kit::http::{ErrorResponse, ErrorStatuses, Up};
//!
//! struct Name(String);
//!
//! impl FromJson for Name {
//!     fn from_json(value: http::Json<'_>) -> Result<Self, Vec<String>> {
//!         http::json::line(value, 255).map(Self)
//!     }
//! }
//!
//! /// What the document shows of the body.
//! #[derive(Object)]
//! struct Body {
//!     /// Whom to greet
//!     name: String,
//! }
//!
//! impl FromBody for Name {
//!     type Schema = Body;
//!
//!     fn from_fields(fields: &mut Fields<'_, '_>) -> Option<Self> {
//!         fields.required("name")
//!     }
//! }
//!
//! struct Errors;
//!
//! impl ErrorStatuses for Errors {
//!     const ALL: &'static [(u16, &'static str)] = &[(422, "The body breaks rules")];
//! }
//!
//! struct Greetings;
//!
//! #[OpenApi]
//! impl Greetings {
//!     #[oai(path = "/greetings", method = "post", operation_id = "greet")]
//!     async fn greet(&self, body: JsonBody<Name>) -> Result<Json<String>, ErrorResponse<Errors>> {
//!         let JsonBody(Name(name)) = body;
//!         if name == "nobody" {
//!             return Err(Problem::invalid(["name must be somebody's"]).into());
//!         }
//!         Ok(Json(name))
//!     }
//! }
//!
//! let app = http::app(http::api((Greetings, Up), "Greetings", "1.0.0"));
//! ```

mod app;
mod body;
pub mod documents;
mod error_responses;
pub mod fields;
pub mod json;
mod json_response;
mod metrics;
mod middleware;
mod number;
mod openapi;
pub mod page;
pub mod parameters;
pub mod payload;
pub mod problem;
mod request_span;
mod response_memory;
mod serve;
mod visible;

pub use app::{Up, api, app};
pub use body::{read_body, time_since_headers};
pub use error_responses::{ErrorResponse, ErrorStatuses, error_status};
pub use fields::Fields;
pub use json::{FromJson, Json};
pub use json_response::JsonResponse;
pub use parameters::{NoParameters, Parameters};
pub use payload::{FromBody, JsonBody};
pub use problem::Problem;
pub use serve::{ServeArgs, serve};

//! What both HTTP APIs share. [`app`] puts an API into its frame and [`serve`] runs it on a listener.
//!
//! | module | what it gives |
//! |---|---|
//! | [`problem`], [`refused`](Refused) | RFC 9457 problems, and which of them an operation documents |
//! | [`frame`](app), `traced`, `metrics` | around everything: request id, log span, trace, metrics, panics and foreign errors as problems |
//! | [`json`], [`fields`], [`payload`] | bodies read with their limits, whose faults are all reported at once |
//! | [`answer`](JsonAnswer) | bodies of answers |
//! | [`parameters`], [`page`] | query parameters the same way; keyset pages and their `Link` |
//! | [`documents`] | Swagger UI and the OpenAPI document |
//! | [`serve`] | the listener: bounded connections, graceful stop |
//! | `slots`, `connection`, `stream`, `progress` | who is closed to make room; one connection, its time limits, and how far it is |
//! | `rejection`, `linger` | answers to what is no request; a close that loses no answer |
//! | `memory`, `response_body` | what large answers may take, and when they are sent |
//!
//! An operation takes [`JsonBody<T>`](JsonBody), [`Parameters`] or [`NoParameters`], with [`Unparsed`](parameters::Unparsed) ones for the document, and
//! answers `Result<_, Refused<S>>`, where `S` lists the statuses that its document shall name:
//!
//! ```
//! use poem_openapi::{Object, OpenApi, payload::Json};
//! use service_kit::http::{self, Fields, FromBody, FromJson, JsonBody, Problem, Refused, Statuses, Up};
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
//!     type Document = Body;
//!
//!     fn from_fields(fields: &mut Fields<'_, '_>) -> Option<Self> {
//!         fields.required("name")
//!     }
//! }
//!
//! struct Refusals;
//!
//! impl Statuses for Refusals {
//!     const ALL: &'static [(u16, &'static str)] = &[(422, "The body breaks rules")];
//! }
//!
//! struct Greetings;
//!
//! #[OpenApi]
//! impl Greetings {
//!     #[oai(path = "/greetings", method = "post", operation_id = "greet")]
//!     async fn greet(&self, body: JsonBody<Name>) -> Result<Json<String>, Refused<Refusals>> {
//!         let JsonBody(Name(name)) = body;
//!         if name == "nobody" {
//!             return Err(Problem::invalid(vec!["name must be somebody's".to_owned()]).into());
//!         }
//!         Ok(Json(name))
//!     }
//! }
//!
//! let app = http::app(http::api((Greetings, Up), "Greetings", "1.0.0"));
//! ```

mod json_response;
mod response_body;
mod app;
mod body;
mod connection;
pub mod documents;
pub mod fields;
mod middleware;
pub mod json;
mod linger;
mod response_memory;
mod metrics;
mod number;
pub mod page;
pub mod parameters;
pub mod payload;
pub mod problem;
mod progress;
mod error_responses;
mod raw_response;
mod request_id;
mod serve;
mod slots;
mod stream;
mod request_span;
mod visible;

pub use json_response::JsonAnswer;
pub use app::{Up, api, app};
pub use fields::Fields;
pub(crate) use middleware::operations_middleware;
pub use json::{FromJson, Json};
pub use parameters::{NoParameters, Parameters};
pub use payload::{FromBody, JsonBody};
pub use problem::Problem;
pub use error_responses::{Refused, Statuses, meaning};
pub use request_id::RequestId;
pub(crate) use serve::{Limits, serve_with_limits};
pub use serve::{ServeArgs, serve};

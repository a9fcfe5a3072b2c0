//! JSON bodies of responses.

use poem::http::HeaderValue;
use poem::http::header::CONTENT_TYPE;
use poem::{IntoResponse, Response};
use poem_openapi::payload::{self, Payload};
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde::Serialize;

use super::problem::Problem;
use super::response_memory::BodySize;

/// The initial capacity of a body in bytes, enough for most single objects.
const CAPACITY: usize = 512;

/// A JSON body that the OpenAPI document describes. Serializes directly to text; the framework's
/// own [`Json`](payload::Json) builds a tree of values first.
#[derive(Debug)]
pub struct JsonResponse<T>(pub T);

impl<T: Type> Payload for JsonResponse<T> {
    const CONTENT_TYPE: &'static str = payload::Json::<T>::CONTENT_TYPE;

    fn check_content_type(content_type: &str) -> bool {
        payload::Json::<T>::check_content_type(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type + Serialize> IntoResponse for JsonResponse<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(CAPACITY);
        match serde_json::to_writer(&mut body, &self.0) {
            Ok(()) => {
                let size = BodySize(body.capacity());
                let kind = HeaderValue::from_static(Self::CONTENT_TYPE);
                let mut response = Response::builder().header(CONTENT_TYPE, kind).body(body);
                size.attach(&mut response);
                response
            }
            Err(error) => Problem::internal(error.to_string()).into_response(),
        }
    }
}

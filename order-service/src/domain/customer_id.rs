//! Whose order it is.

use service_kit::http::{FromJson, Json, json};
use uuid::Uuid;

/// The customer's public id, given out by the customer service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CustomerId(pub Uuid);

impl FromJson for CustomerId {
    fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
        json::uuid(&value).map(Self)
    }
}

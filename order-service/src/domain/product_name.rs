//! What was ordered.

use service_kit::http::{FromJson, Json, json};

/// One line of at most 255 characters, with something visible in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductName(pub(crate) String);

impl FromJson for ProductName {
    fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
        json::line(value, 255).map(Self)
    }
}

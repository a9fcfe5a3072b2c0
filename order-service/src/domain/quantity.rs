//! How many.

use service_kit::http::{FromJson, Json, json};

/// 1 to 1,000,000 pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity(pub(crate) i32);

impl FromJson for Quantity {
    fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
        json::integer(&value, 1..=1_000_000).map(Self)
    }
}

//! Where it goes.

use service_kit::http::{FromJson, Json, json};

/// One line of at most 1,000 characters, with something visible in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryAddress(pub(crate) String);

impl FromJson for DeliveryAddress {
    fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
        json::line(value, 1000).map(Self)
    }
}

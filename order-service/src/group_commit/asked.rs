//! An order that waits to be written.

use serde_json::Value;

use crate::domain::NewOrder;
use crate::idempotency::IdempotencyKey;

/// What a row of each table takes besides texts.
const FIXED: usize = 200;

/// An order that a client asks for, with all that is written with it.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The order.
    pub(crate) new: NewOrder,
    /// The headers of its event.
    pub(crate) headers: Value,
    /// The client's name for the request.
    pub(crate) key: Option<IdempotencyKey>,
}

impl Asked {
    /// About how many bytes it takes in a statement.
    pub(super) fn bytes(&self) -> usize {
        let headers = self.headers.as_object().into_iter().flatten();
        let headers: usize =
            headers.map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
        let key = self.key.as_ref().map_or(0, |key| key.as_str().len());
        FIXED + self.new.product_name.0.len() + self.new.delivery_address.0.len() + headers + key
    }
}

//! Orders and their parts.

use serde_json::Value;
use service_kit::http::{FromJson, Json, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{IdempotencyKey, Price, Status};

/// An order's id: a UUIDv7, so later orders have greater ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OrderId(pub Uuid);

/// A customer's public id, assigned by the customer service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CustomerId(pub Uuid);

impl FromJson for CustomerId {
    fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
        json::uuid(&value).map(Self)
    }
}

/// The name of a product: one line of at most 255 characters, not blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProductName(pub(crate) String);

impl FromJson for ProductName {
    fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
        json::line(value, 255).map(Self)
    }
}

/// A quantity from 1 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quantity(pub(crate) i32);

impl FromJson for Quantity {
    fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
        json::integer(&value, 1..=1_000_000).map(Self)
    }
}

/// A delivery address: one line of at most 1,000 characters, not blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveryAddress(pub(crate) String);

impl FromJson for DeliveryAddress {
    fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
        json::line(value, 1000).map(Self)
    }
}

/// An order as a client requests it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewOrder {
    /// The customer who orders.
    pub(crate) customer: CustomerId,
    /// The product.
    pub(crate) product_name: ProductName,
    /// How many pieces.
    pub(crate) quantity: Quantity,
    /// The price of one piece.
    pub(crate) price: Price,
    /// Where to deliver it.
    pub(crate) delivery_address: DeliveryAddress,
}

/// An order and everything that is written with it.
#[derive(Debug)]
pub(crate) struct OrderToWrite {
    /// The order.
    pub(crate) new: NewOrder,
    /// The headers of its event.
    pub(crate) headers: Value,
    /// The idempotency key of the request.
    pub(crate) key: Option<IdempotencyKey>,
}

/// A stored order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// Its id.
    pub(crate) id: OrderId,
    /// What was ordered. Never changes.
    pub(crate) ordered: NewOrder,
    /// The current status.
    pub(crate) status: Status,
    /// When the order was created.
    pub(crate) created_at: OffsetDateTime,
    /// When the status last changed.
    pub(crate) updated_at: OffsetDateTime,
}

impl Order {
    /// A new order.
    pub(crate) const fn created(
        id: OrderId,
        ordered: NewOrder,
        created_at: OffsetDateTime,
    ) -> Self {
        Self { id, ordered, status: Status::Created, created_at, updated_at: created_at }
    }

    /// Returns the order as it was created: only the status and the time of its change are ever
    /// updated.
    #[must_use]
    pub(crate) fn into_created(self) -> Self {
        Self { status: Status::Created, updated_at: self.created_at, ..self }
    }
}

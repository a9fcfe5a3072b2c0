//! An order.

use serde_json::Value;
use service_kit::http::{FromJson, Json, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{IdempotencyKey, Price, Status};

/// An order's id: a UUIDv7, so that a later order has a greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderId(pub Uuid);

/// The customer's public id, given out by the customer service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CustomerId(pub Uuid);

impl FromJson for CustomerId {
    fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
        json::uuid(&value).map(Self)
    }
}

/// One line of at most 255 characters, with something visible in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductName(pub(crate) String);

impl FromJson for ProductName {
    fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
        json::line(value, 255).map(Self)
    }
}

/// 1 to 1,000,000 pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity(pub(crate) i32);

impl FromJson for Quantity {
    fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
        json::integer(&value, 1..=1_000_000).map(Self)
    }
}

/// One line of at most 1,000 characters, with something visible in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryAddress(pub(crate) String);

impl FromJson for DeliveryAddress {
    fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
        json::line(value, 1000).map(Self)
    }
}

/// What a customer orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// Whose order it is.
    pub customer: CustomerId,
    /// What was ordered.
    pub product_name: ProductName,
    /// How many.
    pub quantity: Quantity,
    /// What one piece costs.
    pub price: Price,
    /// Where it goes.
    pub delivery_address: DeliveryAddress,
}

/// An order to be written, with all that is written with it.
#[derive(Debug)]
pub(crate) struct PendingOrder {
    /// The order.
    pub(crate) new: NewOrder,
    /// The headers of its event.
    pub(crate) headers: Value,
    /// The client's key for the request.
    pub(crate) key: Option<IdempotencyKey>,
}

/// An order as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// What the customer ordered; never changes.
    pub ordered: NewOrder,
    /// How far it is.
    pub status: Status,
    /// When it was accepted.
    pub created_at: OffsetDateTime,
    /// When its status changed last.
    pub updated_at: OffsetDateTime,
}

impl Order {
    /// The order as it was right after it had been accepted: of all that is stored, only the status and the time of its
    /// change are ever written again.
    #[must_use]
    pub fn as_created(self) -> Self {
        Self { status: Status::Created, updated_at: self.created_at, ..self }
    }
}

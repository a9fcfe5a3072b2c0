//! An order.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{CustomerId, DeliveryAddress, Price, ProductName, Quantity, Status};

/// An order's id: a UUIDv7, so that a later order has a greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderId(pub Uuid);

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

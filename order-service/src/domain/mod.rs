//! Orders and their parts. Every value is valid: input is parsed where it enters.

mod idempotency_key;
mod order;
mod price;
mod status;

pub use idempotency_key::IdempotencyKey;
pub(crate) use order::PendingOrder;
pub use order::{CustomerId, DeliveryAddress, NewOrder, Order, OrderId, ProductName, Quantity};
pub use price::Price;
pub use status::Status;

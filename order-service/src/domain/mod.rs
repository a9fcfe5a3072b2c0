//! What an order is made of. Values exist only in their valid form: whatever comes from outside is parsed at the edge.

mod idempotency_key;
mod order;
mod price;
mod status;

pub use idempotency_key::IdempotencyKey;
pub(crate) use order::PendingOrder;
pub use order::{CustomerId, DeliveryAddress, NewOrder, Order, OrderId, ProductName, Quantity};
pub use price::Price;
pub use status::Status;

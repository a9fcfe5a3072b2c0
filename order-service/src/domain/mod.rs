//! Orders and their parts. Every value is valid: input is parsed where it enters.

mod idempotency_key;
mod order;
mod price;
mod status;

pub(crate) use idempotency_key::IdempotencyKey;
pub(crate) use order::{
    CustomerId, DeliveryAddress, NewOrder, Order, OrderId, OrderToWrite, ProductName, Quantity,
};
pub(crate) use price::Price;
pub(crate) use status::Status;

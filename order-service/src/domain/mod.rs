//! What an order is made of. Values exist only in their valid form: whatever comes from outside is parsed at the edge.

mod customer_id;
mod delivery_address;
mod order;
mod price;
mod product_name;
mod quantity;
mod status;

pub use customer_id::CustomerId;
pub use delivery_address::DeliveryAddress;
pub use order::{NewOrder, Order, OrderId};
pub use price::Price;
pub use product_name::ProductName;
pub use quantity::Quantity;
pub use status::Status;

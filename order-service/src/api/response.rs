//! What clients receive: an order as JSON, and the successful responses.

use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object};
use serde::Serialize;
use service_kit::http::JsonAnswer;
use time::OffsetDateTime;
use time::macros::datetime;
use time::serde::rfc3339;
use uuid::Uuid;

use crate::customers::Customer;
use crate::domain::{CustomerId, Order, Status};

/// An order
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Order", example)]
pub(super) struct OrderBody {
    /// Its id, a UUIDv7: a later order has a greater one
    pub(super) id: Uuid,
    /// Whose order it is
    pub(super) customer_public_id: Uuid,
    /// What was ordered
    pub(super) product_name: String,
    /// How many
    #[oai(validator(minimum(value = "1"), maximum(value = "1000000")))]
    pub(super) quantity: i32,
    /// What one piece costs, with two decimals
    #[oai(validator(pattern = r"^\d{1,8}\.\d{2}$"))]
    pub(super) price: String,
    /// Where it goes
    pub(super) delivery_address: String,
    /// How far it is
    pub(super) status: Status,
    /// When it was accepted, in UTC
    #[serde(with = "rfc3339")]
    pub(super) created_at: OffsetDateTime,
    /// When its status changed last, in UTC
    #[serde(with = "rfc3339")]
    pub(super) updated_at: OffsetDateTime,
    /// The customer, when a single order is asked for and the customer service told of it in time
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) customer: Option<CustomerBody>,
}

/// A customer as the customer service tells of it
#[derive(Debug, Object, Serialize)]
#[oai(rename = "OrderCustomer")]
pub(super) struct CustomerBody {
    /// The customer's public id
    id: Uuid,
    /// The name
    name: String,
    /// The address
    address: String,
}

impl CustomerBody {
    pub(super) fn new(id: CustomerId, customer: Customer) -> Self {
        Self { id: id.0, name: customer.name, address: customer.address }
    }
}

impl From<Order> for OrderBody {
    fn from(order: Order) -> Self {
        let ordered = order.ordered;
        Self {
            id: order.id.0,
            customer_public_id: ordered.customer.0,
            product_name: ordered.product_name.0,
            quantity: ordered.quantity.0,
            price: ordered.price.to_string(),
            delivery_address: ordered.delivery_address.0,
            status: order.status,
            created_at: order.created_at,
            updated_at: order.updated_at,
            customer: None,
        }
    }
}

impl Example for OrderBody {
    fn example() -> Self {
        let customer = CustomerId(Uuid::from_u128(0x1111_1111_1111_1111_1111_1111_1111_1111));
        Self {
            id: Uuid::from_u128(0x019c_1b27_3a4c_7d10_9f6e_5b1d_2c8a_4e37),
            customer_public_id: customer.0,
            product_name: "Laptop".to_owned(),
            quantity: 2,
            price: "1200.00".to_owned(),
            delivery_address: "Cra 7 #12-34, Bogotá".to_owned(),
            status: Status::Created,
            created_at: datetime!(2026-02-01 22:25:31.123456 UTC),
            updated_at: datetime!(2026-02-01 22:25:31.123456 UTC),
            customer: Some(CustomerBody {
                id: customer.0,
                name: "Juan Perez".to_owned(),
                address: "Cra 7 #12-34, Bogotá".to_owned(),
            }),
        }
    }
}

#[derive(ApiResponse)]
pub(super) enum CreateResponse {
    /// The order was accepted, or had been: the first answer to this Idempotency-Key again
    #[oai(status = 201)]
    Order(
        JsonAnswer<OrderBody>,
        /// Where the order is
        #[oai(header = "Location")]
        String,
        /// true: the Idempotency-Key had made the order before
        #[oai(header = "Idempotency-Replayed")]
        Option<bool>,
    ),
}

#[derive(ApiResponse)]
pub(super) enum ListResponse {
    /// A page of orders, newest first
    #[oai(status = 200)]
    Page(
        JsonAnswer<Vec<OrderBody>>,
        /// Where the next page is, when there is one: `<…>; rel="next"` (RFC 8288)
        #[oai(header = "Link")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
pub(super) enum GetResponse {
    /// The order; with its customer unless the customer is unknown or the customer service does not answer in time
    #[oai(status = 200)]
    Order(JsonAnswer<OrderBody>),
}

#[derive(ApiResponse)]
pub(super) enum ChangeStatusResponse {
    /// The order as it is now
    #[oai(status = 200)]
    Order(JsonAnswer<OrderBody>),
}

#[cfg(test)]
mod tests {
    use poem_openapi::types::ToJSON as _;

    use super::*;

    #[test]
    fn an_order_is_written_as_the_document_says() {
        let whole = OrderBody::example();
        let alone = OrderBody { customer: None, ..OrderBody::example() };
        for order in [whole, alone] {
            let written = serde_json::to_string(&order).expect("JSON");
            assert_eq!(written, order.to_json_string());
        }
    }
}

//! What clients receive: an order as JSON, and the successful responses.

use std::borrow::Cow;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{Example, ToJSON as _, Type};
use poem_openapi::{ApiResponse, Object};
use serde::Serialize;
use service_kit::http::JsonResponse;
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
    /// The order's id, a UUIDv7: later orders have greater ids
    pub(super) id: Uuid,
    /// The customer's id
    pub(super) customer_public_id: Uuid,
    /// The name of the product
    pub(super) product_name: String,
    /// The number of pieces
    #[oai(validator(minimum(value = "1"), maximum(value = "1000000")))]
    pub(super) quantity: i32,
    /// The price of one piece, with two decimals
    #[oai(validator(pattern = r"^[0-9]{1,8}\.[0-9]{2}$"))]
    pub(super) price: String,
    /// The delivery address
    pub(super) delivery_address: String,
    /// The current status
    pub(super) status: Status,
    /// When the order was created, in UTC
    #[serde(with = "rfc3339")]
    pub(super) created_at: OffsetDateTime,
    /// When the status last changed, in UTC
    #[serde(with = "rfc3339")]
    pub(super) updated_at: OffsetDateTime,
    /// The customer; only in the response of `getOrder`, and only if the customer service answered
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) customer: Option<CustomerBody>,
}

/// The customer of an order
#[derive(Debug, Object, Serialize)]
#[oai(rename = "OrderCustomer")]
pub(super) struct CustomerBody {
    /// The customer's id
    id: Uuid,
    /// The customer's name
    name: String,
    /// The customer's address
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
            customer: None,
        }
    }
}

/// An order with its customer. The schema is that of [`OrderBody`], the example shows the customer.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct OrderWithCustomer(pub(super) OrderBody);

impl Example for OrderWithCustomer {
    fn example() -> Self {
        let order = OrderBody::example();
        let customer = CustomerBody {
            id: order.customer_public_id,
            name: "Juan Perez".to_owned(),
            address: "Cra 7 #12-34, Bogotá".to_owned(),
        };
        Self(OrderBody { customer: Some(customer), ..order })
    }
}

impl Type for OrderWithCustomer {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        OrderBody::name()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            all_of: vec![OrderBody::schema_ref()],
            example: Self::example().0.to_json(),
            ..MetaSchema::ANY
        }))
    }

    fn register(registry: &mut Registry) {
        OrderBody::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

#[derive(ApiResponse)]
pub(super) enum CreateResponse {
    /// The order was created, or had been created before with this `Idempotency-Key`
    #[oai(status = 201)]
    Order(
        JsonResponse<OrderBody>,
        /// The URL of the order
        #[oai(header = "Location")]
        String,
        /// `true` if the order had been created before with this `Idempotency-Key`
        #[oai(header = "Idempotency-Replayed")]
        Option<bool>,
    ),
}

#[derive(ApiResponse)]
pub(super) enum ListResponse {
    /// A page of orders, newest first
    #[oai(status = 200)]
    Page(
        JsonResponse<Vec<OrderBody>>,
        /// The URL of the next page, if there is one: `<…>; rel="next"` (RFC 8288)
        #[oai(header = "Link")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
pub(super) enum GetResponse {
    /// The order
    #[oai(status = 200)]
    Order(JsonResponse<OrderWithCustomer>),
}

#[derive(ApiResponse)]
pub(super) enum ChangeStatusResponse {
    /// The updated order
    #[oai(status = 200)]
    Order(JsonResponse<OrderBody>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_and_the_framework_write_the_same_json() {
        for order in [OrderBody::example(), OrderWithCustomer::example().0] {
            let written = serde_json::to_string(&order).expect("JSON");
            assert_eq!(written, order.to_json_string());
        }
    }
}

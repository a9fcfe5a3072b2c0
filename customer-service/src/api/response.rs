//! What clients receive: a customer as JSON, and the successful responses.

use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object};
use serde::Serialize;
use service_kit::http::JsonResponse;
use tokio_postgres::Row;
use uuid::Uuid;

/// A customer
#[derive(Debug, Object, Serialize)]
#[oai(example)]
pub(super) struct Customer {
    /// The customer's id
    pub(super) id: Uuid,
    /// The customer's name
    name: String,
    /// The customer's address
    address: String,
    /// The number of orders, each counted once, soon after it was created
    #[oai(validator(minimum(value = "0")))]
    orders_count: i64,
}

impl TryFrom<&Row> for Customer {
    type Error = tokio_postgres::Error;

    fn try_from(row: &Row) -> Result<Self, Self::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            address: row.try_get("address")?,
            orders_count: row.try_get("orders_count")?,
        })
    }
}

impl Example for Customer {
    fn example() -> Self {
        Self {
            id: Uuid::from_u128(0x1111_1111_1111_1111_1111_1111_1111_1111),
            name: "Juan Perez".to_owned(),
            address: "Cra 7 #12-34, Bogotá".to_owned(),
            orders_count: 3,
        }
    }
}

#[derive(ApiResponse)]
pub(super) enum ListResponse {
    /// A page of customers, ordered by id
    #[oai(status = 200)]
    Page(
        JsonResponse<Vec<Customer>>,
        /// The URL of the next page, if there is one: `<…>; rel="next"` (RFC 8288)
        #[oai(header = "Link")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
pub(super) enum GetResponse {
    /// The customer
    #[oai(status = 200)]
    Customer(JsonResponse<Customer>),
}

#[derive(ApiResponse)]
pub(super) enum CreateResponse {
    /// The customer was created
    #[oai(status = 201)]
    Customer(
        JsonResponse<Customer>,
        /// The URL of the customer
        #[oai(header = "Location")]
        String,
    ),
}

//! A customer, as clients send and see it.

use poem_openapi::Object;
use serde::Serialize;
use service_kit::http::json::line;
use service_kit::http::{Fields, FromBody, FromJson, Json};
use tokio_postgres::Row;
use uuid::Uuid;

/// How many characters a name may have.
const MAX_NAME_CHARS: usize = 255;

/// How many characters an address may have.
const MAX_ADDRESS_CHARS: usize = 1_000;

/// A customer
#[derive(Debug, Object, Serialize)]
pub(super) struct Customer {
    /// The customer's id
    pub(super) id: Uuid,
    /// The customer's name
    name: String,
    /// Where the customer lives
    address: String,
    /// How many orders the customer has made, each counted once
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

/// A customer to be made, its parts within their rules.
#[derive(Debug)]
pub(super) struct NewCustomer {
    pub(super) name: Name,
    pub(super) address: Address,
}

/// One line of at most 255 characters.
#[derive(Debug)]
pub(super) struct Name(pub(super) String);

/// One line of at most 1,000 characters.
#[derive(Debug)]
pub(super) struct Address(pub(super) String);

impl FromJson for Name {
    fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
        line(value, MAX_NAME_CHARS).map(Self)
    }
}

impl FromJson for Address {
    fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
        line(value, MAX_ADDRESS_CHARS).map(Self)
    }
}

/// A customer to be made
#[derive(Debug, Object)]
pub(super) struct CreateCustomer {
    /// The customer
    customer: CustomerParts,
}

/// What a customer is made of
#[derive(Debug, Object)]
struct CustomerParts {
    /// The customer's name: one line, with something visible in it
    #[oai(validator(min_length = 1, max_length = 255))]
    name: String,
    /// Where the customer lives: one line, with something visible in it
    #[oai(validator(min_length = 1, max_length = 1_000))]
    address: String,
}

impl FromBody for NewCustomer {
    type Document = CreateCustomer;

    fn from_fields(fields: &mut Fields<'_, '_>) -> Option<Self> {
        fields.object("customer", |customer| {
            let name = customer.required("name");
            let address = customer.required("address");
            Some(Self { name: name?, address: address? })
        })
    }
}

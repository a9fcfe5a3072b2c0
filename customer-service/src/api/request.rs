//! What clients send: how the OpenAPI document shows it, and how it is parsed.

use poem_openapi::Object;
use poem_openapi::types::Example;
use service_kit::http::json::line;
use service_kit::http::{Fields, FromBody, FromJson, Json};

const MAX_NAME_CHARS: usize = 255;
const MAX_ADDRESS_CHARS: usize = 1_000;

/// A customer to be created, parsed.
#[derive(Debug)]
pub(super) struct NewCustomer {
    pub(super) name: Name,
    pub(super) address: Address,
}

/// One line of at most 255 characters, not blank.
#[derive(Debug)]
pub(super) struct Name(pub(super) String);

/// One line of at most 1,000 characters, not blank.
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

/// A request to create a customer
#[derive(Debug, Object)]
#[oai(rename = "CreateCustomer", example)]
pub(super) struct CreateCustomerBody {
    customer: NewCustomerBody,
}

/// The customer to create
#[derive(Debug, Object)]
#[oai(rename = "NewCustomer")]
struct NewCustomerBody {
    /// The customer's name: one line, not blank
    #[oai(validator(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\x00-\x1F\x7F-\x9F\u2028\u2029]*$"
    ))]
    name: String,
    /// The customer's address: one line, not blank
    #[oai(validator(
        min_length = 1,
        max_length = 1_000,
        pattern = r"^[^\x00-\x1F\x7F-\x9F\u2028\u2029]*$"
    ))]
    address: String,
}

impl Example for CreateCustomerBody {
    fn example() -> Self {
        Self {
            customer: NewCustomerBody {
                name: "Juan Perez".to_owned(),
                address: "Cra 7 #12-34, Bogotá".to_owned(),
            },
        }
    }
}

impl FromBody for NewCustomer {
    type Schema = CreateCustomerBody;

    fn from_fields(fields: &mut Fields<'_, '_>) -> Option<Self> {
        fields.object("customer", |customer| {
            let name = customer.required("name");
            let address = customer.required("address");
            Some(Self { name: name?, address: address? })
        })
    }
}

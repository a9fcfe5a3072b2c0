//! What clients send: how the OpenAPI document shows it, and how it is parsed.

use std::borrow::Cow;

use poem::http::HeaderMap;
use poem_openapi::Object;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{Example, ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use serde_json::Value;
use service_kit::http::{Fields, FromBody};
use uuid::Uuid;

use crate::domain::{IdempotencyKey, NewOrder, Status};

/// A request to create an order
#[derive(Debug, Object)]
#[oai(rename = "CreateOrder", example)]
pub(crate) struct CreateOrderBody {
    order: NewOrderBody,
}

/// The order to create
#[derive(Debug, Object)]
#[oai(rename = "NewOrder")]
struct NewOrderBody {
    /// The customer's id
    customer_public_id: Uuid,
    /// The name of the product: one line, not blank
    #[oai(validator(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\x00-\x1F\x7F-\x9F\u2028\u2029]*$"
    ))]
    product_name: String,
    /// The number of pieces
    #[oai(validator(minimum(value = "1"), maximum(value = "1000000")))]
    quantity: i32,
    /// The price of one piece: a number, or a string that holds one, with at most two decimals
    price: PriceText,
    /// The delivery address: one line, not blank
    #[oai(validator(
        min_length = 1,
        max_length = 1000,
        pattern = r"^[^\x00-\x1F\x7F-\x9F\u2028\u2029]*$"
    ))]
    delivery_address: String,
}

impl Example for CreateOrderBody {
    fn example() -> Self {
        Self {
            order: NewOrderBody {
                customer_public_id: Uuid::from_u128(0x1111_1111_1111_1111_1111_1111_1111_1111),
                product_name: "Laptop".to_owned(),
                quantity: 2,
                price: PriceText("1200.00".to_owned()),
                delivery_address: "Cra 7 #12-34, Bogotá".to_owned(),
            },
        }
    }
}

impl FromBody for NewOrder {
    type Schema = CreateOrderBody;

    fn header_faults(headers: &HeaderMap) -> Vec<String> {
        IdempotencyKey::from_headers(headers).err().into_iter().collect()
    }

    fn from_fields(fields: &mut Fields<'_, '_>) -> Option<Self> {
        fields.object("order", |order| {
            let customer = order.required("customer_public_id");
            let product_name = order.required("product_name");
            let quantity = order.required("quantity");
            let price = order.required("price");
            let delivery_address = order.required("delivery_address");
            Some(Self {
                customer: customer?,
                product_name: product_name?,
                quantity: quantity?,
                price: price?,
                delivery_address: delivery_address?,
            })
        })
    }
}

/// A request to update an order
#[derive(Debug, Object)]
#[oai(rename = "ChangeOrder", example)]
pub(crate) struct ChangeOrderBody {
    order: NewStatusBody,
}

/// The changes to the order
#[derive(Debug, Object)]
#[oai(rename = "NewOrderStatus")]
struct NewStatusBody {
    /// The new status
    status: Status,
}

impl Example for ChangeOrderBody {
    fn example() -> Self {
        Self { order: NewStatusBody { status: Status::Processing } }
    }
}

/// A requested status change.
#[derive(Debug)]
pub(super) struct ChangeStatus {
    pub(super) status: Status,
}

impl FromBody for ChangeStatus {
    type Schema = ChangeOrderBody;

    fn from_fields(fields: &mut Fields<'_, '_>) -> Option<Self> {
        fields.object("order", |order| {
            let status = order.required("status")?;
            Some(Self { status })
        })
    }
}

/// A price in the OpenAPI document: a number, or a string that holds one.
#[derive(Debug)]
struct PriceText(String);

impl Type for PriceText {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "price".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        let text = MetaSchema {
            pattern: Some(r"^[0-9]{1,8}(\.[0-9]{1,2})?$".to_owned()),
            ..MetaSchema::new("string")
        };
        let number = MetaSchema {
            minimum: Some(0.0),
            maximum: Some(99_999_999.99),
            multiple_of: Some(0.01),
            ..MetaSchema::new("number")
        };
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            one_of: vec![
                MetaSchemaRef::Inline(Box::new(text)),
                MetaSchemaRef::Inline(Box::new(number)),
            ],
            ..MetaSchema::ANY
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for PriceText {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.clone().into())
    }
}

impl ParseFromJSON for PriceText {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value {
            Some(Value::String(text)) => Ok(Self(text)),
            Some(Value::Number(number)) => Ok(Self(number.to_string())),
            other => Err(ParseError::expected_type(other.unwrap_or_default())),
        }
    }
}

/// An `Idempotency-Key` in the OpenAPI document.
#[derive(Debug)]
pub(super) struct IdempotencyKeyText;

impl Type for IdempotencyKeyText {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "idempotency-key".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            min_length: Some(1),
            max_length: Some(255),
            pattern: Some("^[!-~]+$".to_owned()),
            ..MetaSchema::new("string")
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

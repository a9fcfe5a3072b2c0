//! The problems with which the operations refuse, and the statuses of each for the OpenAPI
//! document.

use service_kit::http::error_status::{
    INTERNAL_ERROR, INVALID_JSON, INVALID_PARAMETERS, INVALID_QUERY, PAYLOAD_TOO_LARGE,
    REQUEST_TIMEOUT, UNAVAILABLE, UNEXPECTED_PARAMETERS, UNSUPPORTED_MEDIA_TYPE,
};
use service_kit::http::{ErrorStatuses, Problem};

use super::handlers::{not_allowed, not_found, order_missing};
use crate::customers::CheckError;
use crate::domain::Status;
use crate::group_commit::WriteError;

const NOT_FOUND: (u16, &str) = (404, "No such order, or the id is not a UUID");

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::QueueFull | WriteError::TimedOut => {
                Self::unavailable("Too many orders at once; try again soon.", error)
            }
            WriteError::Stopped => {
                Self::unavailable("The service is stopping; try again soon.", error)
            }
            WriteError::NotStored => Self::internal(error),
            WriteError::Database(error) => error.into(),
        }
    }
}

impl From<CheckError> for Problem {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Unknown(customer) => Self::invalid([format!(
                "order.customer_public_id {} is not a known customer",
                customer.0
            )]),
            CheckError::Overloaded(_) | CheckError::Unavailable(_) => {
                Self::unavailable("The customer can't be checked now; try again soon.", error)
            }
        }
    }
}

pub(super) struct Create;

impl ErrorStatuses for Create {
    const ALL: &'static [(u16, &'static str)] = &[
        INVALID_JSON,
        REQUEST_TIMEOUT,
        (409, "The order created with this `Idempotency-Key` no longer exists"),
        PAYLOAD_TOO_LARGE,
        UNSUPPORTED_MEDIA_TYPE,
        (
            422,
            "The order or the `Idempotency-Key` is invalid, the customer is unknown, there are query \
             parameters, or the key was used before with a different body",
        ),
        INTERNAL_ERROR,
        (
            503,
            "The database does not answer, too many requests are waiting, or the customer can't be \
             checked. The order may have been created: repeat the request with the same \
             `Idempotency-Key`",
        ),
    ];

    fn example(status: u16) -> Option<Problem> {
        match status {
            409 => Some(order_missing()),
            422 => Some(Problem::invalid([
                "order.product_name must not be blank",
                "order.quantity must be an integer from 1 to 1000000",
                "order.colour is unknown",
            ])),
            503 => Some(WriteError::QueueFull.into()),
            _ => None,
        }
    }
}

pub(super) struct List;

impl ErrorStatuses for List {
    const ALL: &'static [(u16, &'static str)] =
        &[INVALID_QUERY, INVALID_PARAMETERS, INTERNAL_ERROR, UNAVAILABLE];
}

pub(super) struct Get;

impl ErrorStatuses for Get {
    const ALL: &'static [(u16, &'static str)] =
        &[INVALID_QUERY, NOT_FOUND, UNEXPECTED_PARAMETERS, INTERNAL_ERROR, UNAVAILABLE];

    fn example(status: u16) -> Option<Problem> {
        (status == 404).then(not_found)
    }
}

pub(super) struct ChangeStatus;

impl ErrorStatuses for ChangeStatus {
    const ALL: &'static [(u16, &'static str)] = &[
        INVALID_JSON,
        NOT_FOUND,
        REQUEST_TIMEOUT,
        (409, "The order's current status does not allow this change"),
        PAYLOAD_TOO_LARGE,
        UNSUPPORTED_MEDIA_TYPE,
        (422, "The body is invalid, or there are query parameters"),
        INTERNAL_ERROR,
        UNAVAILABLE,
    ];

    fn example(status: u16) -> Option<Problem> {
        match status {
            404 => Some(not_found()),
            409 => Some(not_allowed(Status::Shipped, Status::Cancelled)),
            422 => Some(Problem::invalid([
                "order.status must be one of created, processing, shipped, delivered, cancelled",
            ])),
            _ => None,
        }
    }
}

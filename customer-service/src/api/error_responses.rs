//! The statuses with which each operation refuses, for the OpenAPI document.

use poem::http::StatusCode;
use service_kit::http::error_status::{
    INTERNAL_ERROR, INVALID_JSON, INVALID_PARAMETERS, INVALID_QUERY, PAYLOAD_TOO_LARGE,
    REQUEST_TIMEOUT, UNAVAILABLE, UNEXPECTED_PARAMETERS, UNSUPPORTED_MEDIA_TYPE,
};
use service_kit::http::{ErrorStatuses, Problem};

/// The type of the 404 for a customer. By it the order service tells an unknown customer from a
/// wrong path or an ingress without a backend.
const CUSTOMER_NOT_FOUND: &str = "urn:problem:customer-not-found";

/// The problem of an unknown customer, also for an id that is not a UUID.
pub(super) fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "No such customer.").of_type(CUSTOMER_NOT_FOUND)
}

pub(super) struct List;

impl ErrorStatuses for List {
    const ALL: &'static [(u16, &'static str)] =
        &[INVALID_QUERY, INVALID_PARAMETERS, INTERNAL_ERROR, UNAVAILABLE];
}

pub(super) struct Get;

impl ErrorStatuses for Get {
    const ALL: &'static [(u16, &'static str)] = &[
        INVALID_QUERY,
        (
            404,
            "No such customer, or the id is not a UUID; the problem's `type` is \
             `urn:problem:customer-not-found`",
        ),
        UNEXPECTED_PARAMETERS,
        INTERNAL_ERROR,
        UNAVAILABLE,
    ];

    fn example(status: u16) -> Option<Problem> {
        (status == 404).then(not_found)
    }
}

pub(super) struct Create;

impl ErrorStatuses for Create {
    const ALL: &'static [(u16, &'static str)] = &[
        INVALID_JSON,
        REQUEST_TIMEOUT,
        PAYLOAD_TOO_LARGE,
        UNSUPPORTED_MEDIA_TYPE,
        (422, "The customer is invalid, or there are query parameters"),
        INTERNAL_ERROR,
        UNAVAILABLE,
    ];

    fn example(status: u16) -> Option<Problem> {
        (status == 422).then(|| {
            Problem::invalid([
                "customer.name must not be blank",
                "customer.address is missing",
                "customer.orders_count is unknown",
            ])
        })
    }
}

//! The statuses with which each operation refuses, for the OpenAPI document.

use poem::http::StatusCode;
use service_kit::http::meaning::{
    FAILED, NO_JSON, NO_PARAMETERS, NO_QUERY, NOT_JSON_TYPE, TOO_LARGE, TOO_SLOW, UNAVAILABLE,
};
use service_kit::http::{Problem, Statuses};

/// The type of the 404 for a customer. By it the order service tells an unknown customer from a wrong
/// path or an ingress without a backend.
const CUSTOMER_NOT_FOUND: &str = "urn:problem:customer-not-found";

/// The problem of an unknown customer, also for an id that is not a UUID.
pub(super) fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "No such customer.").of_type(CUSTOMER_NOT_FOUND)
}

/// An invalid request with these errors.
fn invalid(errors: &[&str]) -> Problem {
    Problem::invalid(errors.iter().map(|&error| error.to_owned()).collect())
}

pub(super) struct List;

impl Statuses for List {
    const ALL: &'static [(u16, &'static str)] = &[
        NO_QUERY,
        (422, "Query parameters are invalid, repeated or unknown"),
        FAILED,
        UNAVAILABLE,
    ];

    fn example(status: u16) -> Option<Problem> {
        (status == 422).then(|| {
            invalid(&[
                "limit must be an integer from 1 to 500",
                "the query parameter page is unknown",
            ])
        })
    }
}

pub(super) struct Get;

impl Statuses for Get {
    const ALL: &'static [(u16, &'static str)] = &[
        NO_QUERY,
        (
            404,
            "No such customer, or the id is not a UUID; the problem's `type` is \
             `urn:problem:customer-not-found`",
        ),
        NO_PARAMETERS,
        FAILED,
        UNAVAILABLE,
    ];

    fn example(status: u16) -> Option<Problem> {
        (status == 404).then(not_found)
    }
}

pub(super) struct Create;

impl Statuses for Create {
    const ALL: &'static [(u16, &'static str)] = &[
        NO_JSON,
        TOO_SLOW,
        TOO_LARGE,
        NOT_JSON_TYPE,
        (422, "The customer is invalid, or there are query parameters"),
        FAILED,
        UNAVAILABLE,
    ];

    fn example(status: u16) -> Option<Problem> {
        (status == 422).then(|| {
            invalid(&[
                "customer.name must not be blank",
                "customer.address is missing",
                "customer.orders_count is unknown",
            ])
        })
    }
}

//! The statuses with which each operation refuses, for the OpenAPI document.

use service_kit::http::meaning::{
    FAILED, NO_JSON, NO_PARAMETERS, NO_QUERY, NOT_JSON_TYPE, TOO_LARGE, TOO_SLOW, UNAVAILABLE,
};
use service_kit::http::{Problem, Statuses};

use super::handlers::{not_allowed, not_found, order_missing};
use crate::domain::Status;

const NOT_FOUND: (u16, &str) = (404, "No such order, or the id is not a UUID");

/// An invalid request with these errors.
fn invalid(errors: &[&str]) -> Problem {
    Problem::invalid(errors.iter().map(|&error| error.to_owned()).collect())
}

pub(super) struct Create;

impl Statuses for Create {
    const ALL: &'static [(u16, &'static str)] = &[
        NO_JSON,
        TOO_SLOW,
        (409, "The order created with this `Idempotency-Key` no longer exists"),
        TOO_LARGE,
        NOT_JSON_TYPE,
        (
            422,
            "The order or the `Idempotency-Key` is invalid, the customer is unknown, there are query \
             parameters, or the key was used before with a different body",
        ),
        FAILED,
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
            422 => Some(invalid(&[
                "order.product_name must not be blank",
                "order.quantity must be an integer from 1 to 1000000",
                "order.colour is unknown",
            ])),
            503 => Some(Problem::unavailable("Too many orders at once; try again soon.", "")),
            _ => None,
        }
    }
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
    const ALL: &'static [(u16, &'static str)] =
        &[NO_QUERY, NOT_FOUND, NO_PARAMETERS, FAILED, UNAVAILABLE];

    fn example(status: u16) -> Option<Problem> {
        (status == 404).then(not_found)
    }
}

pub(super) struct ChangeStatus;

impl Statuses for ChangeStatus {
    const ALL: &'static [(u16, &'static str)] = &[
        NO_JSON,
        NOT_FOUND,
        TOO_SLOW,
        (409, "The order's current status does not allow this change"),
        TOO_LARGE,
        NOT_JSON_TYPE,
        (422, "The body is invalid, or there are query parameters"),
        FAILED,
        UNAVAILABLE,
    ];

    fn example(status: u16) -> Option<Problem> {
        match status {
            404 => Some(not_found()),
            409 => Some(not_allowed(Status::Shipped, Status::Cancelled)),
            422 => Some(invalid(&[
                "order.status must be one of created, processing, shipped, delivered, cancelled",
            ])),
            _ => None,
        }
    }
}

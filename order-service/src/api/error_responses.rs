//! Which statuses the operations refuse with.

use service_kit::http::Statuses;
use service_kit::http::meaning::{
    FAILED, NO_JSON, NO_PARAMETERS, NO_QUERY, NOT_JSON_TYPE, TOO_LARGE, TOO_SLOW, UNAVAILABLE,
};

const NOT_FOUND: (u16, &str) = (404, "There is no such order, or the id is no UUID");

pub(super) struct Create;

impl Statuses for Create {
    const ALL: &'static [(u16, &'static str)] = &[
        NO_JSON,
        TOO_SLOW,
        (409, "The order that the Idempotency-Key made is not there any more"),
        TOO_LARGE,
        NOT_JSON_TYPE,
        (
            422,
            "The order breaks rules, all of which are listed; there are query parameters; its customer is unknown; the \
             Idempotency-Key is none, or was used before with another body",
        ),
        FAILED,
        (
            503,
            "The database does not answer, too many requests wait for it or for the customer service, or the customer must be \
             checked and the customer service does not answer. The order may have been accepted or not: repeat the request \
             with the same Idempotency-Key",
        ),
    ];
}

pub(super) struct List;

impl Statuses for List {
    const ALL: &'static [(u16, &'static str)] = &[
        NO_QUERY,
        (422, "Query parameters are wrong, repeated or unknown, all of which are listed"),
        FAILED,
        UNAVAILABLE,
    ];
}

pub(super) struct Get;

impl Statuses for Get {
    const ALL: &'static [(u16, &'static str)] =
        &[NO_QUERY, NOT_FOUND, NO_PARAMETERS, FAILED, UNAVAILABLE];
}

pub(super) struct ChangeStatus;

impl Statuses for ChangeStatus {
    const ALL: &'static [(u16, &'static str)] = &[
        NO_JSON,
        NOT_FOUND,
        TOO_SLOW,
        (409, "The order can't become this from the status that it is in"),
        TOO_LARGE,
        NOT_JSON_TYPE,
        (422, "The body breaks rules, or there are query parameters, all of which are listed"),
        FAILED,
        UNAVAILABLE,
    ];
}

//! Which statuses the operations refuse with.

use service_kit::http::Statuses;
use service_kit::http::meaning::{
    FAILED, NO_JSON, NO_PARAMETERS, NO_QUERY, NOT_JSON_TYPE, TOO_LARGE, TOO_SLOW, UNAVAILABLE,
};

/// The type of the 404 for a customer. The order service tells it from the 404 of a wrong path or
/// of an ingress by that.
pub(super) const CUSTOMER_NOT_FOUND: &str = "urn:problem:customer-not-found";

pub(super) struct List;

impl Statuses for List {
    const ALL: &'static [(u16, &'static str)] = &[
        NO_QUERY,
        (422, "A query parameter is wrong, repeated or unknown; all faults at once"),
        FAILED,
        UNAVAILABLE,
    ];
}

pub(super) struct Get;

impl Statuses for Get {
    const ALL: &'static [(u16, &'static str)] = &[
        NO_QUERY,
        (
            404,
            "There is no such customer, or the id is no UUID; the problem's type is urn:problem:customer-not-found",
        ),
        NO_PARAMETERS,
        FAILED,
        UNAVAILABLE,
    ];
}

pub(super) struct Create;

impl Statuses for Create {
    const ALL: &'static [(u16, &'static str)] = &[
        NO_JSON,
        TOO_SLOW,
        TOO_LARGE,
        NOT_JSON_TYPE,
        (422, "The body breaks rules, or there are query parameters; all faults at once"),
        FAILED,
        UNAVAILABLE,
    ];
}

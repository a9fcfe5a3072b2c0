//! Which statuses the operations refuse with.

use service_kit::http::Statuses;

const UNAVAILABLE: (u16, &str) =
    (503, "The database does not answer, or too many requests wait for it");

pub(super) struct List;

impl Statuses for List {
    const ALL: &'static [(u16, &'static str)] =
        &[(422, "A query parameter is wrong or unknown; all faults at once"), UNAVAILABLE];
}

pub(super) struct Get;

impl Statuses for Get {
    const ALL: &'static [(u16, &'static str)] = &[(404, "There is no such customer"), UNAVAILABLE];
}

pub(super) struct Create;

impl Statuses for Create {
    const ALL: &'static [(u16, &'static str)] = &[
        (400, "The body is not JSON"),
        (413, "The body is larger than 64 KiB"),
        (415, "The Content-Type is not application/json"),
        (422, "The body breaks rules; all faults at once"),
        UNAVAILABLE,
    ];
}

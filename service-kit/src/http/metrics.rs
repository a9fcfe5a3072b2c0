//! What is counted of requests and connections.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_histogram, histogram};
use poem::http::StatusCode;

const REQUESTS: &str = "http_requests_total";
const DURATION: &str = "http_request_duration_seconds";
const TURNED_AWAY: &str = "http_connections_turned_away_total";

/// What is told of requests means.
pub(super) fn describe_requests() {
    describe_counter!(REQUESTS, "Requests that were answered");
    describe_histogram!(DURATION, "From a request's headers to its answer");
}

/// What is told of connections means; it is there from the start, so that a rate of zero can be seen.
pub(super) fn describe_connections() {
    describe_counter!(
        TURNED_AWAY,
        "Connections that were answered 503, as too many were open, those to the operations port included"
    );
    counter!(TURNED_AWAY).increment(0);
}

/// A request was answered. `route` is the route's pattern.
pub(super) fn answered(method: &'static str, route: String, status: StatusCode, elapsed: Duration) {
    let status = status.as_str().to_owned();
    counter!(REQUESTS, "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    histogram!(DURATION, "method" => method, "route" => route).record(elapsed);
}

/// A connection was turned away.
pub(super) fn turned_away() {
    counter!(TURNED_AWAY).increment(1);
}

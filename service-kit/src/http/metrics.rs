//! What is counted of requests and connections.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_histogram, histogram};
use poem::http::StatusCode;

const REQUESTS: &str = "http_requests_total";
const DURATION: &str = "http_request_duration_seconds";
const ABANDONED: &str = "http_requests_abandoned_total";
const REJECTED: &str = "http_connections_turned_away_total";
const CLOSED: &str = "http_connections_closed_total";

/// The route of a path that is no call's, and of a request that no application has seen.
pub(super) const NO_ROUTE: &str = "none";

/// Why a connection is closed that its client would have kept.
#[derive(Debug, Clone, Copy)]
pub(super) enum CloseReason {
    /// Too many were open, too many were being told so already or this one asked nothing in time.
    Unanswered,
    /// It was idle for longest when another one needed its slot.
    Idle,
    /// Its request's headers took too long.
    SlowHeaders,
    /// Its request's body took too long.
    SlowBody,
    /// Its client read an answer too slowly.
    SlowReading,
}

impl CloseReason {
    const ALL: [Self; 5] =
        [Self::Unanswered, Self::Idle, Self::SlowHeaders, Self::SlowBody, Self::SlowReading];

    const fn label(self) -> &'static str {
        match self {
            Self::Unanswered => "unanswered",
            Self::Idle => "idle",
            Self::SlowHeaders => "slow_headers",
            Self::SlowBody => "slow_body",
            Self::SlowReading => "slow_reading",
        }
    }
}

/// What is told of requests means.
pub(super) fn describe_requests() {
    describe_counter!(REQUESTS, "Requests that were answered");
    describe_histogram!(DURATION, "From a request's headers to its answer");
}

/// What is told of connections means; it is there from the start, so that a rate of zero can be seen.
pub(super) fn describe_connections() {
    describe_counter!(
        REJECTED,
        "Connections that were answered 503, as too many were open, those to the operations port included"
    );
    counter!(REJECTED).increment(0);
    describe_counter!(
        ABANDONED,
        "Requests whose client went away before their answer, or that the end of the process cut off"
    );
    register_route(NO_ROUTE);
    describe_counter!(
        CLOSED,
        "Connections that were closed for what their clients did or to make room, those to the operations port included"
    );
    for reason in CloseReason::ALL {
        counter!(CLOSED, "reason" => reason.label()).increment(0);
    }
}

/// There is a route whose requests may be abandoned.
pub(super) fn register_route(route: &str) {
    counter!(ABANDONED, "route" => route.to_owned()).increment(0);
}

/// Counts a request as abandoned when it is dropped before [`AbandonGuard::disarm`].
pub(super) struct AbandonGuard<'a>(Option<&'a str>);

impl<'a> AbandonGuard<'a> {
    /// A request has come for this route.
    pub(super) const fn new(route: &'a str) -> Self {
        Self(Some(route))
    }

    /// It is answered.
    pub(super) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for AbandonGuard<'_> {
    fn drop(&mut self) {
        if let Some(route) = self.0 {
            tracing::debug!(target: "access", route, "the client went away before the answer");
            counter!(ABANDONED, "route" => route.to_owned()).increment(1);
        }
    }
}

/// A request was answered. `route` is the route's pattern.
pub(super) fn record_request(method: &'static str, route: String, status: StatusCode, elapsed: Duration) {
    let status = status.as_str().to_owned();
    counter!(REQUESTS, "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    histogram!(DURATION, "method" => method, "route" => route).record(elapsed);
}

/// A connection was closed.
pub(super) fn record_closed(reason: CloseReason) {
    counter!(CLOSED, "reason" => reason.label()).increment(1);
}

/// A connection was turned away.
pub(super) fn record_rejected() {
    counter!(REJECTED).increment(1);
}

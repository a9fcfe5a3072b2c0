//! Metrics of requests and connections.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};
use poem::http::StatusCode;

const REQUESTS: &str = "http_requests_total";
const DURATION: &str = "http_request_duration_seconds";
const ABANDONED: &str = "http_requests_abandoned_total";
const REJECTED: &str = "http_connections_turned_away_total";
const CLOSED: &str = "http_connections_closed_total";

/// The route of an unknown path, and of a request that did not reach the application.
pub(super) const NO_ROUTE: &str = "none";

/// Why the server closed a connection that its client kept open.
#[derive(Debug, Clone, Copy)]
pub(super) enum CloseReason {
    /// Too many connections were open and too many were being rejected, or this one sent no request
    /// in time.
    Unanswered,
    /// It had been idle for longest when another connection needed its slot.
    Idle,
    /// The headers of its request took too long.
    SlowHeaders,
    /// The body of its request took too long.
    SlowBody,
    /// Its client read a response too slowly.
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

/// Describes the metrics of requests.
pub(super) fn describe_requests() {
    describe_counter!(REQUESTS, "Requests that were answered");
    describe_histogram!(DURATION, "From a request's headers to its answer");
}

/// Describes the metrics of connections and sets them to zero, so that a rate of zero is visible.
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

/// Adds a route whose requests may be abandoned.
pub(super) fn register_route(route: &str) {
    counter!(ABANDONED, "route" => route.to_owned()).increment(0);
}

/// Counts a request as abandoned when it is dropped before [`AbandonGuard::disarm`].
pub(super) struct AbandonGuard<'a>(Option<&'a str>);

impl<'a> AbandonGuard<'a> {
    /// Starts to guard a request for this route.
    pub(super) const fn new(route: &'a str) -> Self {
        Self(Some(route))
    }

    /// The request was answered.
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

/// Counts an answered request. `route` is the route's pattern.
pub(super) fn record_request(
    method: &'static str,
    route: &str,
    status: StatusCode,
    elapsed: Duration,
) {
    RequestMetrics::new(method, route, status).record(elapsed);
}

/// The metrics of requests with one method, route and status.
struct RequestMetrics {
    requests: Counter,
    duration: Histogram,
}

impl RequestMetrics {
    fn new(method: &'static str, route: &str, status: StatusCode) -> Self {
        let (route, status) = (route.to_owned(), status.as_str().to_owned());
        let duration = histogram!(DURATION, "method" => method, "route" => route.clone());
        let requests = counter!(REQUESTS, "method" => method, "route" => route, "status" => status);
        Self { requests, duration }
    }

    fn record(&self, elapsed: Duration) {
        self.requests.increment(1);
        self.duration.record(elapsed);
    }
}

/// The metrics of a route's requests by method and status. They are kept, since finding them by
/// their labels takes several times as long as counting.
#[derive(Default)]
pub(super) struct RouteMetrics(RwLock<HashMap<(&'static str, StatusCode), RequestMetrics>>);

impl RouteMetrics {
    /// Counts an answered request of this route, as [`record_request`] does.
    pub(super) fn record_request(
        &self,
        method: &'static str,
        route: &str,
        status: StatusCode,
        elapsed: Duration,
    ) {
        // Each change is a single call, so the map is consistent even after a panic elsewhere.
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = known.get(&(method, status)) {
            return metrics.record(elapsed);
        }
        drop(known);
        let metrics = RequestMetrics::new(method, route, status);
        metrics.record(elapsed);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.insert((method, status), metrics);
    }
}

/// Counts a closed connection.
pub(super) fn record_closed(reason: CloseReason) {
    counter!(CLOSED, "reason" => reason.label()).increment(1);
}

/// Counts a rejected connection.
pub(super) fn record_rejected() {
    counter!(REJECTED).increment(1);
}

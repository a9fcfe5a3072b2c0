//! Metrics of requests.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};
use poem::http::StatusCode;

const REQUESTS: &str = "http_requests_total";
const DURATION: &str = "http_request_duration_seconds";

/// Describes the metrics of requests.
pub(super) fn describe_requests() {
    describe_counter!(REQUESTS, "Requests that were answered");
    describe_histogram!(DURATION, "From a request's headers to its answer");
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

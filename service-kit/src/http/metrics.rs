//! What is counted of requests and connections.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};
use poem::http::StatusCode;

const REQUESTS: &str = "http_requests_total";
const DURATION: &str = "http_request_duration_seconds";
const ABANDONED: &str = "http_requests_abandoned_total";
const TURNED_AWAY: &str = "http_connections_turned_away_total";
const CLOSED: &str = "http_connections_closed_total";

/// The route of a path that is no call's, and of a request that no application has seen.
pub(super) const NO_ROUTE: &str = "none";

/// Why a connection is closed that its client would have kept.
#[derive(Debug, Clone, Copy)]
pub(super) enum Closed {
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

impl Closed {
    const ALL: [Self; 5] =
        [Self::Unanswered, Self::Idle, Self::SlowHeaders, Self::SlowBody, Self::SlowReading];

    const fn reason(self) -> &'static str {
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
        TURNED_AWAY,
        "Connections that were answered 503, as too many were open, those to the operations port included"
    );
    counter!(TURNED_AWAY).increment(0);
    describe_counter!(
        ABANDONED,
        "Requests whose client went away before their answer, or that the end of the process cut off"
    );
    has_route(NO_ROUTE);
    describe_counter!(
        CLOSED,
        "Connections that were closed for what their clients did or to make room, those to the operations port included"
    );
    for why in Closed::ALL {
        counter!(CLOSED, "reason" => why.reason()).increment(0);
    }
}

/// There is a route whose requests may be abandoned.
pub(super) fn has_route(route: &str) {
    counter!(ABANDONED, "route" => route.to_owned()).increment(0);
}

/// Counts a request as abandoned when it is dropped before [`Unanswered::answered`].
pub(super) struct Unanswered<'a>(Option<&'a str>);

impl<'a> Unanswered<'a> {
    /// A request has come for this route.
    pub(super) const fn new(route: &'a str) -> Self {
        Self(Some(route))
    }

    /// It is answered.
    pub(super) fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(route) = self.0 {
            tracing::debug!(target: "access", route, "the client went away before the answer");
            counter!(ABANDONED, "route" => route.to_owned()).increment(1);
        }
    }
}

/// A request was answered. `route` is the route's pattern.
pub(super) fn answered(method: &'static str, route: &str, status: StatusCode, elapsed: Duration) {
    Answers::new(method, route, status).count(elapsed);
}

/// What is counted of the answers to a method, on a route, with a status.
struct Answers {
    requests: Counter,
    duration: Histogram,
}

impl Answers {
    fn new(method: &'static str, route: &str, status: StatusCode) -> Self {
        let (route, status) = (route.to_owned(), status.as_str().to_owned());
        let duration = histogram!(DURATION, "method" => method, "route" => route.clone());
        let requests = counter!(REQUESTS, "method" => method, "route" => route, "status" => status);
        Self { requests, duration }
    }

    fn count(&self, elapsed: Duration) {
        self.requests.increment(1);
        self.duration.record(elapsed);
    }
}

/// What is counted of a route's answers, by method and status. It is kept: finding it by its labels
/// takes several times as long as counting.
#[derive(Default)]
pub(super) struct RouteAnswers(RwLock<HashMap<(&'static str, StatusCode), Answers>>);

impl RouteAnswers {
    /// [`answered`], for this route.
    pub(super) fn answered(
        &self,
        method: &'static str,
        route: &str,
        status: StatusCode,
        elapsed: Duration,
    ) {
        // Each change is a single call, so the map is whole even after a panic elsewhere.
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(answers) = known.get(&(method, status)) {
            return answers.count(elapsed);
        }
        drop(known);
        let answers = Answers::new(method, route, status);
        answers.count(elapsed);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.insert((method, status), answers);
    }
}

/// A connection was closed.
pub(super) fn closed(why: Closed) {
    counter!(CLOSED, "reason" => why.reason()).increment(1);
}

/// A connection was turned away.
pub(super) fn turned_away() {
    counter!(TURNED_AWAY).increment(1);
}

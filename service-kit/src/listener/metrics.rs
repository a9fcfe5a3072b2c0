//! Metrics of connections.

use metrics::{counter, describe_counter};

const ABANDONED: &str = "http_requests_abandoned_total";
const REJECTED: &str = "http_connections_turned_away_total";
const CLOSED: &str = "http_connections_closed_total";

/// The route of an unknown path, and of a request that did not reach the application.
pub(crate) const NO_ROUTE: &str = "none";

/// Why the server closed a connection that its client kept open.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CloseReason {
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

/// Describes the metrics of connections and sets them to zero, so that a rate of zero is visible.
pub(crate) fn describe_connections() {
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
pub(crate) fn register_route(route: &str) {
    counter!(ABANDONED, "route" => route.to_owned()).increment(0);
}

/// Counts a request as abandoned when it is dropped before [`AbandonGuard::disarm`].
pub(crate) struct AbandonGuard<'a>(Option<&'a str>);

impl<'a> AbandonGuard<'a> {
    /// Starts to guard a request for this route.
    pub(crate) const fn new(route: &'a str) -> Self {
        Self(Some(route))
    }

    /// The request was answered.
    pub(crate) fn disarm(mut self) {
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

/// Counts a closed connection.
pub(crate) fn record_closed(reason: CloseReason) {
    counter!(CLOSED, "reason" => reason.label()).increment(1);
}

/// Counts a rejected connection.
pub(crate) fn record_rejected() {
    counter!(REJECTED).increment(1);
}

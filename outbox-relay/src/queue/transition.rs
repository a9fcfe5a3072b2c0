//! The states of an aggregate, and the arguments and results of its transitions.

use std::collections::VecDeque;

use super::EventRef;

/// The state of the first event of an aggregate that is not done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadState {
    Ready,
    InFlight,
    /// Those behind it wait until the table says that it failed.
    Failed,
    /// It is confirmed, and those behind it are yet to be read from the table.
    Drained,
    /// It is confirmed, and its row can't be changed: those behind it wait until it can.
    Unsettled,
}

/// How an event was found in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It has not been tried yet.
    New,
    /// It failed before and is due again.
    Retry,
}

/// What a transition asks of the [`Queue`](super::Queue).
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// May be sent now.
    pub(super) ready: Option<EventRef>,
    /// Was ready, and must not be sent.
    pub(super) withdrawn: Option<i64>,
    /// Are tracked no longer, and will be read from the table again.
    pub(super) forgotten: VecDeque<EventRef>,
    pub(super) next: Next,
}

/// What becomes of the [`AggregateQueue`](super::aggregate_queue::AggregateQueue) after a
/// transition.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    #[default]
    Keep,
    /// More of its events have to be read from the table.
    Refill,
    /// Nothing of the aggregate is left here.
    Remove,
}

/// Whether more events of the aggregate are to be read from the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refill {
    NotNeeded,
    /// The table still holds them back.
    Later,
    /// Those above this id.
    Above(i64),
}

//! The events of one aggregate, one behind the other.

use std::collections::VecDeque;

use super::Place;

/// Events of one aggregate that are remembered behind the one that is sent; those further behind stay in the table.
pub(super) const LINE: usize = 128;

/// Fewer than these, and more are looked up while they are sent.
const SHORT: usize = LINE / 2;

/// The events of one aggregate, from the moment when one is ready until none is left.
#[derive(Debug)]
pub(super) struct Line {
    /// The one that is ready, in flight (the last of several that go in a row), or published last.
    pub(super) head: i64,
    pub(super) state: Head,
    pub(super) behind: VecDeque<Place>,
    /// There are more in the table, behind the last one.
    pub(super) more: bool,
    /// The event that failed before and was sent again: until it is settled as published, the table holds back those behind it. It is the
    /// head, or was it before events with lower ids that appeared late.
    pub(super) retried: Option<i64>,
}

impl Line {
    /// A line behind an event that is set aside.
    pub(super) const fn held(head: i64) -> Self {
        Self { head, state: Head::Held, behind: VecDeque::new(), more: true, retried: None }
    }

    /// Whether more are to be looked up.
    pub(super) fn is_short(&self) -> bool {
        self.more && self.behind.len() < SHORT
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    Ready,
    InFlight,
    /// It failed: those behind it wait until the table says that it failed.
    Failed,
    /// It is published, and those behind it have yet to be looked up.
    Done,
    /// It is published, and its row can't be changed: those behind it wait until it can.
    Held,
}

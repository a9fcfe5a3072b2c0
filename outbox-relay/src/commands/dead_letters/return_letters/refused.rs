//! What the broker did not take.

/// A dead letter that the broker did not take.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    pub(super) id: i64,
    pub(super) reason: String,
    /// Whether an earlier attempt ended without an answer.
    pub(super) may_have_arrived: bool,
}

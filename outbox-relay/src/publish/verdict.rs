//! What became of an event that was to be published.

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The broker confirmed it and did not return it.
    Published,
    /// The broker did not take it: it is tried again later. With the reason, for people.
    Failed(Refusal, String),
    /// The row can't be a message: a person has to decide.
    Unpublishable(String),
    /// No confirm came: it stays pending and is sent again, and no attempt is charged.
    Unknown,
}

/// How the broker did not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It returned the message: no queue is bound for it, as a rule.
    Returned,
    /// It nacked the message: a queue is full or has no leader.
    Nacked,
    /// It closed the channel over the message, as the relay may not write there, for instance.
    Refused,
    /// It closed the channel over the message itself: it is too large, or has a header that the
    /// broker can't read.
    Unacceptable,
}

impl Refusal {
    /// One for each value of the metrics' label `reason`.
    pub(crate) const ALL: [Self; 3] = [Self::Returned, Self::Nacked, Self::Refused];

    /// The value of the metrics' label `reason`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Nacked => "nacked",
            Self::Refused | Self::Unacceptable => "refused",
        }
    }
}

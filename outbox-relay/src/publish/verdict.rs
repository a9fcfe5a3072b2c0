//! What became of an event that was to be published.

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The broker confirmed it and did not return it.
    Published,
    /// The broker did not take it: to be tried again later. With the reason for people.
    Failed(Refusal, String),
    /// The row can't be a message: a person has to look.
    Impossible(String),
    /// Nobody knows: it stays pending, is sent again, and no attempt is charged.
    Unknown,
}

/// How the broker did not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It returned the message: no queue is bound for it, as a rule.
    Returned,
    /// It said that it could not take the message: a full queue, or one without a leader.
    Nacked,
    /// It closed the channel over the message: it is not allowed there, for instance.
    Refused,
    /// The same over what the message is: too large, or a header that it can't read.
    Unacceptable,
}

impl Refusal {
    /// One for each word in the metrics.
    pub(crate) const ALL: [Self; 3] = [Self::Returned, Self::Nacked, Self::Refused];

    /// The word for it in the metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Nacked => "nacked",
            Self::Refused | Self::Unacceptable => "refused",
        }
    }
}

//! What became of an event that was to be published.

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The broker confirmed it and did not return it.
    Published,
    /// The broker did not take it: it is tried again later. With the cause and, for people, the
    /// reason.
    Failed(FailureCause, String),
    /// The row can't be a message, or must not be sent again unseen: a person has to decide.
    Unpublishable(String),
    /// No confirm came: it stays pending and is sent again, and no attempt is charged.
    Unknown,
}

/// How the broker rejected a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureCause {
    /// It returned the message: no queue is bound for it, as a rule.
    Returned,
    /// It nacked the message: a queue is full or has no leader.
    Nacked,
    /// It closed the channel over the message, as the relay may not write there, for instance.
    ChannelClosed,
    /// The broker closed the channel or the connection because of this message: it is too large, or
    /// has a header that the broker can't read.
    Unacceptable,
}

impl FailureCause {
    /// One for each value of the metrics' label `reason`.
    pub(crate) const LABELLED: [Self; 3] = [Self::Returned, Self::Nacked, Self::ChannelClosed];

    /// The value of the metrics' label `reason`.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Nacked => "nacked",
            Self::ChannelClosed | Self::Unacceptable => "refused",
        }
    }
}

//! What became of an event that was to be published.

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The broker confirmed it and did not return it.
    Published,
    /// The broker returned or refused it: to be tried again later.
    Failed(String),
    /// The row can't be a message: a person has to look.
    Impossible(String),
    /// Nobody knows: it stays pending, is sent again, and no attempt is charged.
    Unknown,
}

//! What the broker did not do.

use super::heard::Goodbye;

/// Why the broker did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It closed the channel over it.
    Refused(Goodbye),
    /// It closed the connection, over something that came on any of its channels.
    Closed(Goodbye),
    /// Nothing can be done over it any more, and this is why.
    Lost(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(Goodbye { said, .. })
            | Self::Closed(Goodbye { said, .. })
            | Self::Lost(said) => f.write_str(said),
        }
    }
}

impl std::error::Error for Failure {}

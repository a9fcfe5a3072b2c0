//! Why a request failed.

use super::method::Goodbye;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The broker refused it and closed the channel.
    Refused(Goodbye),
    /// The broker closed the connection, because of something on any of its channels.
    Closed(Goodbye),
    /// The connection or the consumer is lost, for this reason.
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

//! Why a request failed.

use super::method::CloseReason;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The broker refused it and closed the channel.
    Refused(CloseReason),
    /// The broker closed the connection, because of something on any of its channels.
    Closed(CloseReason),
    /// The connection or the consumer is lost, for this reason.
    Lost(String),
    /// The connection has no number left for a channel: the broker allows so many.
    NoFreeChannel(u16),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(CloseReason { text, .. })
            | Self::Closed(CloseReason { text, .. })
            | Self::Lost(text) => f.write_str(text),
            Self::NoFreeChannel(allowed) => {
                write!(f, "the broker allows {allowed} channels, and all are open")
            }
        }
    }
}

impl std::error::Error for Failure {}

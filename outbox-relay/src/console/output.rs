//! What a command printed and how it ended, or why it has no result.

use serde_json::Value;

/// Why a command has no result.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum InvocationError {
    /// Too many others run: of which kind, and what to do.
    #[error("{0}")]
    Busy(&'static str),
    /// It took too long.
    #[error("the database takes too long to answer")]
    TooSlow,
    /// It printed too much.
    #[error("the answer is too large: ask for less")]
    TooLarge,
    /// It failed, and says why.
    #[error("{0}")]
    Failed(String),
    /// Its arguments make no sense.
    #[error("{0}")]
    Usage(String),
    /// A server that it needs is away.
    #[error("{0}")]
    Unavailable(String),
    /// It was told to stop before it began.
    #[error("it was stopped before it began: nothing was changed")]
    NotBegun,
    /// It was told to stop, and did so at once.
    #[error("the command was stopped")]
    Stopped,
    /// It could not be run, or printed no JSON.
    #[error("{0}")]
    Broken(String),
}

/// What a command printed and how it ended.
#[derive(Debug, Clone)]
pub(super) struct Output {
    pub(super) status: u8,
    pub(super) text: String,
    /// Its errors and notes.
    pub(super) notes: String,
}

impl Output {
    /// The JSON documents that it printed.
    pub(super) fn values(&self) -> Result<Vec<Value>, InvocationError> {
        let values = serde_json::Deserializer::from_str(&self.text).into_iter::<Value>();
        values.collect::<Result<_, _>>().map_err(|error| InvocationError::Broken(error.to_string()))
    }

    /// The JSON document that it printed, if any.
    pub(super) fn value(&self) -> Result<Value, InvocationError> {
        Ok(self.values()?.into_iter().next().unwrap_or(Value::Null))
    }

    /// Its errors as sentences.
    pub(super) fn error(&self) -> String {
        let lines = self.notes.lines().map(|line| line.strip_prefix("error: ").unwrap_or(line));
        let text = lines.collect::<Vec<_>>().join("\n");
        if text.is_empty() {
            format!("the command ended with status {}", self.status)
        } else {
            text
        }
    }
}

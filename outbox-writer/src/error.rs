/// Why an event was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error<D> {
    /// The payload can't be written as JSON: a map whose keys are no strings, say.
    #[error("the payload can't be written as JSON: {0}")]
    Payload(#[source] serde_json::Error),
    /// The driver's error.
    #[error(transparent)]
    Database(D),
}

/// Why an event was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error<D> {
    /// The payload can't be written as JSON, and why: a map whose keys are no strings, say. Nothing
    /// was sent, and the transaction goes on.
    #[error("the payload can't be written as JSON: {0}")]
    Payload(String),
    /// The driver's error. If it is PostgreSQL's, the transaction can only be rolled back.
    #[error(transparent)]
    Database(D),
}

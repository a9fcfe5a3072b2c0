//! `GET /up`.

use poem_openapi::OpenApi;
use poem_openapi::payload::PlainText;

/// The call that tells whether the process lives.
#[derive(Debug, Clone, Copy)]
pub struct Up;

#[expect(clippy::unused_async, reason = "the framework's macro wants it")]
#[OpenApi]
impl Up {
    /// Whether the process lives
    ///
    /// Says nothing of what it depends on: that is told by `/readyz` on the operations port.
    #[oai(path = "/up", method = "get", operation_id = "up")]
    async fn up(&self) -> PlainText<&'static str> {
        PlainText("up\n")
    }
}

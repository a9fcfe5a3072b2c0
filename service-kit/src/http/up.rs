//! `GET /up`.

use poem_openapi::payload::PlainText;
use poem_openapi::{OpenApi, Tags};

/// The call that tells whether the process lives.
#[derive(Debug, Clone, Copy)]
pub struct Up;

#[derive(Tags)]
enum Tag {
    /// Whether the process is alive
    #[oai(rename = "health")]
    Health,
}

#[expect(clippy::unused_async, reason = "the framework's macro wants it")]
#[OpenApi(tag = "Tag::Health")]
impl Up {
    /// Check that the process is alive
    ///
    /// Does not check its dependencies; `/readyz` on the operations port does.
    #[oai(path = "/up", method = "get", operation_id = "up")]
    async fn up(&self) -> PlainText<&'static str> {
        PlainText("up\n")
    }
}

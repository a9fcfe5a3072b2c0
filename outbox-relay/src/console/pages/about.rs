//! `/about`: versions, settings without secrets, and where to read more.

use serde_json::json;

use super::{NoPage, Page, PageRequest};
use crate::console::Console;

#[expect(clippy::unused_async, reason = "like the other pages")]
pub(super) async fn about(console: &Console, _request: &PageRequest) -> Result<Page, NoPage> {
    let data = json!({
        "versions": { "outbox-relay": env!("CARGO_PKG_VERSION") },
        "settings": console.settings,
        "links": [
            { "text": "The JSON API", "href": format!("{}/api", console.prefix) },
            {
                "text": "Its OpenAPI document",
                "href": format!("{}/api/openapi.json", console.prefix),
            },
        ],
    });
    let title = "About".to_owned();
    Ok(Page { template: "about.html", title, section: "about", command: None, data })
}

//! Commands of chromedriver that WebDriver lacks.

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::wd::WebDriverCompatibleCommand;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use url::ParseError;

use super::Tab;
use super::palette::with_palette;

/// A command by its path below the session.
#[derive(Debug)]
struct Vendor {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Vendor {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// How a page is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// A wide window in light colours.
    Light,
    /// A wide window in dark colours.
    Dark,
    /// A phone.
    Narrow,
}

impl Tab {
    /// Fails if the browser has logged an error since the last call: a script that threw, a file
    /// that was not there, something that the Content Security Policy kept from happening.
    ///
    /// # Errors
    /// With the errors.
    pub async fn no_errors(&self) -> anyhow::Result<()> {
        let log = self.log().await?;
        ensure!(log.is_empty(), "the browser logs {log:#?}");
        Ok(())
    }

    /// The errors that the browser has logged since the last call.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn log(&self) -> anyhow::Result<Vec<Value>> {
        let entries = Vendor { path: "se/log", body: json!({ "type": "browser" }) };
        let entries = self.client.issue_cmd(entries).await?;
        let entries = entries.as_array().context("a log has entries")?;
        Ok(entries.iter().filter(|entry| entry["level"] == "SEVERE").cloned().collect())
    }

    /// Shows pages in this way from now on.
    ///
    /// # Errors
    /// When the browser does not.
    pub async fn show_as(&self, media: Media) -> anyhow::Result<()> {
        let (scheme, width, height) = match media {
            Media::Light => ("light", 1280, 800),
            Media::Dark => ("dark", 1280, 800),
            Media::Narrow => ("light", 390, 844),
        };
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await?;
        let mobile = media == Media::Narrow;
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await?;
        Ok(())
    }

    /// The whole page as PNG, down to `height` pixels at the most.
    ///
    /// # Errors
    /// When the browser makes none.
    pub async fn picture(&self, height: u64) -> anyhow::Result<Vec<u8>> {
        let size =
            "return [document.documentElement.clientWidth, document.documentElement.scrollHeight];";
        let size = self.run(size, vec![]).await?;
        let height = size[1].as_u64().context("a page has a height")?.min(height);
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": height, "scale": 1 });
        let picture = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.devtools("Page.captureScreenshot", picture).await?;
        with_palette(&STANDARD.decode(picture["data"].as_str().context("a picture")?)?)
    }

    async fn devtools(&self, command: &str, parameters: Value) -> anyhow::Result<Value> {
        let body = json!({ "cmd": command, "params": parameters });
        let done = self.client.issue_cmd(Vendor { path: "goog/cdp/execute", body }).await;
        done.with_context(|| command.to_owned())
    }
}

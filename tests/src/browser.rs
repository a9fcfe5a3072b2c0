//! A real browser: Chrome, driven by chromedriver.
//!
//! | file | what is in it |
//! |---|---|
//! | `tab` | a page as a person sees it: read, pressed, filled in |
//! | `keyboard` | the same by keyboard alone |
//! | `vendor` | commands of Chrome that WebDriver lacks: its log, its developer tools |
//! | `palette` | pictures of a few kilobytes |
//! | `axe` | what axe-core finds on a page |
//! | `shop` | what pages show that are looked at |
//! | `contained` | whether what rows hold stays text |

mod axe;
mod contained;
mod keyboard;
mod palette;
mod shop;
mod tab;
mod vendor;

use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fantoccini::ClientBuilder;
use fantoccini::wd::Capabilities;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use stack::Service;

use crate::outbox::PATIENCE;
use crate::temp_folder::TempFolder;

pub use axe::axe_source;
pub use shop::Shop;
pub use tab::Tab;
pub use vendor::Media;

/// A running chromedriver. Dropping it ends it, its browsers, and removes their profiles.
#[derive(Debug)]
pub struct Browser {
    driver: Service,
    url: String,
    folder: TempFolder,
}

/// How a person uses the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hands {
    /// Presses links and buttons.
    Mouse,
    /// Goes to them with Tab.
    Keyboard,
}

/// Whether pages may run scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scripts {
    /// As usual.
    On,
    /// Turned off by the person.
    Off,
}

impl Browser {
    /// Starts chromedriver on a free port.
    ///
    /// # Errors
    /// When it or Chrome is not installed, or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = TempFolder::new()?;
        // Sockets of Chrome lie there, whose paths must be short.
        let home = folder.path("");
        let settings = [("TMPDIR", home.as_str()), ("HOME", home.as_str())];
        let driver = Service::spawn(stack::chromedriver()?, ["--port=0"], settings).await?;
        let line = driver.wait_for_line("started successfully on port", PATIENCE).await?;
        let port = line.trim_end_matches('.').rsplit(' ').next().context("a port")?;
        let url = format!("http://127.0.0.1:{port}");
        Ok(Self { driver, url, folder })
    }

    /// Opens a browser of its own, with a fresh profile, on a page of `origin`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn open(&self, origin: &str, hands: Hands, scripts: Scripts) -> anyhow::Result<Tab> {
        let mut arguments = vec![
            "--headless=new",
            "--window-size=1280,900",
            "--force-prefers-reduced-motion",
            "--hide-scrollbars",
            // A browser ends with its driver, however that ends.
            "--remote-debugging-pipe",
        ];
        // Chrome's sandbox refuses root.
        if std::fs::metadata(self.folder.path(""))?.uid() == 0 {
            arguments.push("--no-sandbox");
        }
        let javascript = if scripts == Scripts::Off { 2 } else { 1 };
        let capabilities = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": {
                "binary": stack::chrome()?,
                "args": arguments,
                "prefs": { "profile.managed_default_content_settings.javascript": javascript },
            },
        });
        let capabilities: Capabilities = serde_json::from_value(capabilities)?;
        let mut client = ClientBuilder::new(HttpConnector::new());
        let client = client.capabilities(capabilities).connect(&self.url);
        let client =
            tokio::time::timeout(PATIENCE, client).await.context("Chrome does not start")?;
        let client = client.with_context(|| self.driver.last_lines())?;
        Ok(Tab::new(client, origin, hands))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browsers and their helpers are in its process group, and write to their profiles until
        // they are gone. What can't be signalled has ended.
        let kill = format!("kill -s KILL -- -{}", self.driver.pid());
        Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status().ok();
        let end = Instant::now() + PATIENCE;
        while self.folder.remove().is_err() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

//! A page as a person sees it: what it says is read, what it offers is pressed by its label.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use fantoccini::elements::Element;
use fantoccini::{Client, Locator};
use serde_json::Value;

use super::Hands;
use crate::outbox::eventually;

/// A tab of a browser.
#[derive(Debug, Clone)]
pub struct Tab {
    /// The browser's session.
    pub client: Client,
    /// `http://127.0.0.1:port` of the console.
    pub origin: String,
    pub(super) hands: Hands,
    steps: Arc<AtomicUsize>,
}

impl Tab {
    pub(super) fn new(client: Client, origin: &str, hands: Hands) -> Self {
        Self { client, origin: origin.to_owned(), hands, steps: Arc::default() }
    }

    /// Opens a page by its address.
    ///
    /// # Errors
    /// When the browser does not.
    pub async fn open(&self, path: &str) -> anyhow::Result<()> {
        let opened = self.client.goto(&format!("{}{path}", self.origin)).await;
        opened.with_context(|| path.to_owned())
    }

    /// The path and the query of the page.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn path(&self) -> anyhow::Result<String> {
        let url = self.client.current_url().await?;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok(format!("{}{query}", url.path()))
    }

    /// The text that the page shows.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn text(&self) -> anyhow::Result<String> {
        Ok(self.client.find(Locator::Css("body")).await?.text().await?)
    }

    /// Waits until the page shows `text`.
    ///
    /// # Errors
    /// When it does not in time, with what it shows instead.
    pub async fn see(&self, text: &str) -> anyhow::Result<()> {
        let mut shown = String::new();
        let sees = eventually("the page shows it", async || {
            // A page that is being left has no body.
            shown = self.text().await.unwrap_or_default();
            Ok(shown.contains(text))
        });
        sees.await.with_context(|| format!("no {text:?}:\n{shown}"))
    }

    /// Loads the page again and again, as somebody who waits does, until it shows `text`.
    ///
    /// # Errors
    /// When it does not in time, with what it shows instead.
    pub async fn reload_until(&self, text: &str) -> anyhow::Result<()> {
        let mut shown = String::new();
        let sees = eventually("the page shows it", async || {
            self.client.refresh().await?;
            shown = self.text().await?;
            Ok(shown.contains(text))
        });
        sees.await.with_context(|| format!("no {text:?}:\n{shown}"))
    }

    /// Presses the link or button whose label begins with `label`.
    ///
    /// # Errors
    /// When the page has none, or it can't be pressed.
    pub async fn press(&self, label: &str) -> anyhow::Result<()> {
        self.steps.fetch_add(1, Ordering::Relaxed);
        match self.hands {
            Hands::Mouse => Ok(self.pressable(label).await?.click().await?),
            Hands::Keyboard => {
                self.tab_to(label).await?;
                self.keys("\u{e007}").await
            }
        }
        .with_context(|| format!("{label:?} can't be pressed"))
    }

    /// Fills in the field whose label begins with `label`, in place of what it holds.
    ///
    /// # Errors
    /// When the page has none.
    pub async fn fill(&self, label: &str, text: &str) -> anyhow::Result<()> {
        self.steps.fetch_add(1, Ordering::Relaxed);
        match self.hands {
            Hands::Mouse => {
                let field = self.field(label).await?;
                field.clear().await?;
                Ok(field.send_keys(text).await?)
            }
            Hands::Keyboard => {
                self.tab_to(label).await?;
                self.select_all().await?;
                self.keys(text).await
            }
        }
        .with_context(|| format!("{label:?} can't be filled in"))
    }

    /// Whether the checkbox with this label is checked.
    ///
    /// # Errors
    /// When there is none.
    pub async fn is_checked(&self, label: &str) -> anyhow::Result<bool> {
        Ok(self.field(label).await?.is_selected().await?)
    }

    /// How often something was pressed, filled in or checked.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps.load(Ordering::Relaxed)
    }

    /// What is in the field whose label begins with `label`.
    ///
    /// # Errors
    /// When the page has none.
    pub async fn value(&self, label: &str) -> anyhow::Result<String> {
        self.field(label).await?.prop("value").await?.context("a field has a value")
    }

    /// Runs a script of the test in the page, and returns its result.
    ///
    /// # Errors
    /// When it throws.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> anyhow::Result<Value> {
        Ok(self.client.execute(script, arguments).await?)
    }

    /// The first that is shown; what the page is about comes before its frame.
    async fn pressable(&self, label: &str) -> anyhow::Result<Element> {
        for root in ["//main", ""] {
            let path = format!(
                "{root}//*[self::a or self::button or self::summary][starts-with(normalize-space(.), \"{label}\")]"
            );
            for element in self.client.find_all(Locator::XPath(&path)).await? {
                if element.is_displayed().await? {
                    return Ok(element);
                }
            }
        }
        let text = self.text().await?;
        anyhow::bail!("the page has no {label:?}:\n{text}")
    }

    async fn field(&self, label: &str) -> anyhow::Result<Element> {
        let begins = format!("starts-with(normalize-space(.), \"{label}\")");
        let path = format!(
            "//*[@id = //label[{begins}]/@for] | //label[{begins}]//*[self::input or self::select]"
        );
        self.client.find(Locator::XPath(&path)).await.with_context(|| format!("no field {label:?}"))
    }
}

//! Whether what rows and messages hold stays text on a page.

use anyhow::{Context as _, ensure};

use super::Tab;

/// Finds what a text has done to a page: run a script, made an element, turned the text around it,
/// widened the page.
const FIND: &str = r#"
    const found = [];
    if (window.hurt) found.push(`a script ran: ${window.hurt}`);
    for (const made of document.querySelectorAll("img, iframe, object, embed, video, base, [onerror], [onload], [onclick], [style]")) {
        found.push(`an element was made: ${made.outerHTML.slice(0, 200)}`);
    }
    if (document.scripts.length !== 1) found.push(`${document.scripts.length} scripts`);
    const page = document.documentElement;
    if (page.scrollWidth > page.clientWidth) found.push(`it is ${page.scrollWidth} wide, of ${page.clientWidth}`);
    const isolates = (element) => /isolate|plaintext/.test(getComputedStyle(element).unicodeBidi);
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode;
        if (!/[\u202a-\u202e\u2066-\u2069\u0590-\u07ff]/.test(text.data)) continue;
        let around = text.parentElement;
        if (around.closest("option, textarea")) continue;
        while (around && !isolates(around)) around = around.parentElement;
        if (around?.textContent.trim() !== text.data.trim()) {
            found.push(`it may turn what is around it: ${around?.outerHTML.slice(0, 300)}`);
        }
    }
    return found;"#;

impl Tab {
    /// Fails if a text of a row or a message has done anything to this page but to be on it.
    ///
    /// # Errors
    /// With what it has done.
    pub async fn holds_text_only(&self) -> anyhow::Result<()> {
        let found = self.run(FIND, vec![]).await?;
        let found = found.as_array().context("a list")?;
        ensure!(found.is_empty(), "{found:#?}");
        // The browser logs the status of a page that there is not, too.
        let log = self.log().await?;
        ensure!(log.iter().all(|entry| entry["source"] == "network"), "{log:#?}");
        Ok(())
    }
}

//! A page by keyboard alone.

use anyhow::ensure;
use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};

use super::Tab;

/// As WebDriver names them.
const TAB: char = '\u{e004}';
const CONTROL: char = '\u{e009}';

/// More than any page has to be tabbed through.
const STOPS: usize = 150;

/// What has the focus: its label as a screen reader says it, its text otherwise.
const FOCUSED: &str = "
    const focused = document.activeElement;
    const label = focused.labels?.[0]?.textContent ?? focused.ariaLabel ?? focused.textContent;
    return focused === document.body ? '' : label.trim().replace(/\\s+/g, ' ');";

impl Tab {
    /// Strikes these keys, one after the other.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn keys(&self, keys: &str) -> anyhow::Result<()> {
        let strokes =
            keys.chars().fold(KeyActions::new("keyboard".to_owned()), |strokes, value| {
                strokes.then(KeyAction::Down { value }).then(KeyAction::Up { value })
            });
        Ok(self.client.perform_actions(strokes).await?)
    }

    /// Goes on with Tab until that has the focus whose label begins with `label`.
    ///
    /// # Errors
    /// When it can't be reached so, or nobody could see that it has the focus.
    pub async fn tab_to(&self, label: &str) -> anyhow::Result<()> {
        let mut passed = Vec::new();
        // A page may have put the focus there.
        let mut focused = self.focused().await?;
        while !focused.starts_with(label) {
            ensure!(passed.len() < STOPS, "Tab does not lead to {label:?} but to {passed:?}");
            passed.push(focused);
            self.keys(&TAB.to_string()).await?;
            focused = self.focused().await?;
        }
        let seen = "
            const style = getComputedStyle(document.activeElement);
            return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;";
        let seen = self.run(seen, vec![]).await?;
        ensure!(seen == true, "nobody sees that {label:?} has the focus");
        Ok(())
    }

    /// The label of what has the focus.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn focused(&self) -> anyhow::Result<String> {
        let focused = self.run(FOCUSED, vec![]).await?;
        Ok(focused.as_str().unwrap_or_default().to_owned())
    }

    pub(super) async fn select_all(&self) -> anyhow::Result<()> {
        let strokes = KeyActions::new("keyboard".to_owned())
            .then(KeyAction::Down { value: CONTROL })
            .then(KeyAction::Down { value: 'a' })
            .then(KeyAction::Up { value: 'a' })
            .then(KeyAction::Up { value: CONTROL });
        Ok(self.client.perform_actions(strokes).await?)
    }
}

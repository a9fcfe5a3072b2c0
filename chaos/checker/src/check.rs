//! A guarantee that was held against a history, and the places where the history breaks it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The most violations that are told in words.
const TOLD: usize = 20;

/// A guarantee, how often it was examined, and where it was broken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Check {
    /// The guarantee, as a sentence.
    pub guarantee: Cow<'static, str>,
    /// How many times the history could have broken it.
    pub examined: usize,
    /// How many times it did.
    pub broken: usize,
    /// The first of them, in words.
    pub violations: Vec<String>,
}

impl Check {
    /// A check that has examined nothing yet.
    #[must_use]
    pub const fn new(guarantee: &'static str) -> Self {
        Self { guarantee: Cow::Borrowed(guarantee), examined: 0, broken: 0, violations: Vec::new() }
    }

    /// Counts one examination, which is a violation unless `holds`.
    pub fn examine(&mut self, holds: bool, violation: impl FnOnce() -> String) {
        self.examined += 1;
        if holds {
            return;
        }
        self.broken += 1;
        if self.violations.len() < TOLD {
            self.violations.push(violation());
        }
    }

    /// Adds the same check of another history.
    pub fn add(&mut self, other: &Self) {
        self.examined += other.examined;
        self.broken += other.broken;
        let room = TOLD.saturating_sub(self.violations.len());
        self.violations.extend(other.violations.iter().take(room).cloned());
    }

    /// Returns true if the check examined at least one record of the history and found no
    /// violation. A check without anything to examine shows nothing.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.examined > 0 && self.broken == 0
    }
}

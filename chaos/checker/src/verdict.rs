//! All checks on one history.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::check::Check;
use crate::checks;
use crate::history::History;

/// The results of all checks of one history, or of several together.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Verdict {
    /// One for each guarantee.
    pub checks: Vec<Check>,
}

impl Verdict {
    /// Makes all checks.
    #[must_use]
    pub fn on(history: &History) -> Self {
        Self { checks: checks::all(history) }
    }

    /// Whether every guarantee was examined and held.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.checks.iter().all(Check::holds)
    }

    /// Adds the verdict on another history. Returns both.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for check in &other.checks {
            match self.checks.iter_mut().find(|known| known.guarantee == check.guarantee) {
                Some(known) => known.add(check),
                None => self.checks.push(check.clone()),
            }
        }
        self
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({ "holds": self.holds(), "checks": self.checks })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { guarantee, examined, broken, violations } in &self.checks {
            match (broken, examined) {
                (0, 0) => writeln!(f, "not examined  {guarantee}")?,
                (0, _) => writeln!(f, "holds         {guarantee} ({examined} examined)")?,
                _ => writeln!(f, "BROKEN        {guarantee} ({broken} of {examined})")?,
            }
            for violation in violations {
                writeln!(f, "                {violation}")?;
            }
        }
        Ok(())
    }
}

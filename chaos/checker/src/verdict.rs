//! All checks on one history.

use std::fmt;

use serde_json::{Value, json};

use crate::check::Check;
use crate::checks;
use crate::history::History;

/// What all checks say of a history.
#[derive(Debug)]
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

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let checks = self.checks.iter().map(|check| {
            json!({
                "guarantee": check.guarantee,
                "examined": check.examined,
                "broken": check.broken,
                "violations": check.violations,
            })
        });
        json!({ "holds": self.holds(), "checks": checks.collect::<Vec<_>>() })
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

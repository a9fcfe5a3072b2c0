//! A row of the table: a measurement, its limit and its goal.

use serde_json::{Value, json};

use crate::summary::{Summary, rounded};

/// A measurement.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// The part of the suite.
    pub(super) part: &'static str,
    pub(super) what: String,
    pub(super) measured: Summary,
    pub(super) unit: &'static str,
    /// The limit, if any.
    pub(super) limit: Option<Limit>,
    pub(super) goal: Option<Goal>,
}

/// A limit measured in the same run.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    pub(super) what: String,
    pub(super) measured: Summary,
    /// The ratio of the measured value to this one, in each round.
    pub(super) ratio: Summary,
}

/// The goal for the ratio, or for the measured value if there is no limit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Row {
    /// A measurement without a limit.
    pub(super) fn alone(
        part: &'static str,
        what: impl Into<String>,
        measured: Summary,
        unit: &'static str,
    ) -> Self {
        Self { part, what: what.into(), measured, unit, limit: None, goal: None }
    }

    /// Values of several rounds, each against the limit's in the same round.
    pub(super) fn beside(
        part: &'static str,
        what: impl Into<String>,
        measured: &[f64],
        unit: &'static str,
        limit: (impl Into<String>, &[f64]),
    ) -> Self {
        let ratio = measured.iter().zip(limit.1).map(|(measured, limit)| measured / limit);
        let limit = Limit {
            what: limit.0.into(),
            measured: limit.1.iter().copied().collect(),
            ratio: ratio.collect(),
        };
        let measured = measured.iter().copied().collect();
        Self { limit: Some(limit), ..Self::alone(part, what, measured, unit) }
    }

    pub(super) fn with_goal(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    /// Whether the median reaches the goal; `None` without a goal.
    pub(super) fn reached(&self) -> Option<bool> {
        let value = self.limit.as_ref().map_or(&self.measured, |limit| &limit.ratio).median();
        self.goal.map(|goal| match goal {
            Goal::AtLeast(least) => value >= least,
            Goal::AtMost(most) => value <= most,
        })
    }

    pub(super) fn json(&self) -> Value {
        let limit = self.limit.as_ref().map(|limit| {
            json!({ "what": limit.what, "measured": limit.measured.json(), "ratio": limit.ratio.json() })
        });
        let goal = self.goal.map(|goal| match goal {
            Goal::AtLeast(least) => json!({ "at_least": rounded(least) }),
            Goal::AtMost(most) => json!({ "at_most": rounded(most) }),
        });
        json!({
            "part": self.part,
            "what": self.what,
            "unit": self.unit,
            "measured": self.measured.json(),
            "limit": limit,
            "goal": goal,
            "reached": self.reached(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Goal, Row};

    #[test]
    fn the_median_of_the_ratios_decides() {
        let row = Row::beside("orders", "ours", &[30.0, 10.0, 90.0], "/s", ("limit", &[10.0; 3]));
        assert_eq!(row.reached(), None);
        assert_eq!(row.clone().with_goal(Goal::AtLeast(3.0)).reached(), Some(true));
        assert_eq!(row.clone().with_goal(Goal::AtLeast(3.1)).reached(), Some(false));
        assert_eq!(row.with_goal(Goal::AtMost(2.9)).reached(), Some(false));
        let alone = Row::alone("end to end", "p50", [5.0].into_iter().collect(), "ms");
        assert_eq!(alone.with_goal(Goal::AtMost(20.0)).reached(), Some(true));
    }
}

//! The results of `consumer check`, as text and as JSON.

use serde::Serialize;

use crate::consumer::terminal::escape_control;

/// The result of one check.
#[derive(Debug, Serialize)]
pub(super) struct CheckResult {
    check: &'static str,
    state: State,
    /// Printed when there are no findings: how many messages wait, for instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
}

/// The state of a check: that of its worst finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Ok,
    /// An earlier check failed.
    Skipped,
    /// A consumer can work nevertheless.
    Warn,
    Fail,
}

/// A problem that a check found.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    #[serde(skip)]
    state: State,
    finding: String,
    /// What to do about it.
    fix: String,
}

impl Finding {
    /// A finding with which a consumer can work.
    pub(super) fn warn(finding: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Warn, finding: finding.into(), fix: fix.into() }
    }

    /// A finding with which a consumer can't work.
    pub(super) fn fail(finding: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Fail, finding: finding.into(), fix: fix.into() }
    }
}

impl CheckResult {
    /// A result with these findings; it is ok, with `note`, when there are none.
    pub(super) fn new(
        check: &'static str,
        findings: Vec<Finding>,
        note: impl Into<String>,
    ) -> Self {
        let state = findings.iter().map(|finding| finding.state).max();
        let note = findings.is_empty().then(|| note.into());
        Self { check, state: state.unwrap_or(State::Ok), note, findings }
    }

    /// Adds to the note, if there is one.
    pub(super) fn add(&mut self, more: &str) {
        if let Some(note) = &mut self.note {
            note.push_str("; ");
            note.push_str(more);
        }
    }

    pub(super) const fn skipped(check: &'static str) -> Self {
        Self { check, state: State::Skipped, note: None, findings: Vec::new() }
    }

    /// A check that could not be completed.
    pub(super) fn failed(check: &'static str, reason: String) -> Self {
        Self::new(check, vec![Finding::fail(reason, "fix this first, then check again")], "")
    }
}

/// The worst state of all checks.
pub(super) fn worst(checks: &[CheckResult]) -> State {
    checks.iter().map(|check| check.state).max().unwrap_or(State::Ok)
}

/// The results as text.
pub(super) fn text(checks: &[CheckResult]) -> String {
    let mut text = String::new();
    for CheckResult { check, state, note, findings } in checks {
        let mark = match state {
            State::Ok => "ok",
            State::Skipped => "-",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        let note = match (note, state) {
            (Some(note), _) => note,
            (None, State::Skipped) => "skipped: fix the above first",
            (None, _) => "",
        };
        let first = findings.first().map_or(note, |finding| finding.finding.as_str());
        text.push_str(&format!("{mark:<6} {check:<12} {}\n", escape_control(first)));
        for (index, Finding { finding, fix, .. }) in findings.iter().enumerate() {
            if index > 0 {
                text.push_str(&format!("{:20}{}\n", "", escape_control(finding)));
            }
            for line in fix.lines() {
                text.push_str(&format!("{:22}{}\n", "", escape_control(line)));
            }
        }
    }
    text.push_str(match worst(checks) {
        State::Fail => "\nA consumer can't work here. The fix stands below each finding.\n",
        State::Warn => "\nA consumer can work here. The fix stands below each warning.\n",
        State::Ok | State::Skipped => "\nA consumer can work here.\n",
    });
    text
}

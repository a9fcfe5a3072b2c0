//! The results of `consumer check`, as text and as JSON.

use serde::Serialize;

use crate::consumer::terminal::escape_control;

/// One thing that was checked at.
#[derive(Debug, Serialize)]
pub(super) struct CheckResult {
    check: &'static str,
    state: State,
    /// The sentence that is printed when there are no findings, such as how many messages wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
}

/// The worst of what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Ok,
    /// Something else has to be done first.
    Skipped,
    /// A consumer works nevertheless.
    Warn,
    Fail,
}

/// Something that is not as it should be.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    #[serde(skip)]
    state: State,
    finding: String,
    /// What to do about it.
    fix: String,
}

impl Finding {
    /// A consumer works nevertheless.
    pub(super) fn warn(finding: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Warn, finding: finding.into(), fix: fix.into() }
    }

    /// A consumer can't work.
    pub(super) fn fail(finding: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Fail, finding: finding.into(), fix: fix.into() }
    }
}

impl CheckResult {
    /// Ok, and `note`, when there are no findings.
    pub(super) fn new(
        check: &'static str,
        findings: Vec<Finding>,
        note: impl Into<String>,
    ) -> Self {
        let state = findings.iter().map(|finding| finding.state).max();
        let note = findings.is_empty().then(|| note.into());
        Self { check, state: state.unwrap_or(State::Ok), note, findings }
    }

    /// Says more where nothing is wrong.
    pub(super) fn add(&mut self, more: &str) {
        if let Some(note) = &mut self.note {
            note.push_str("; ");
            note.push_str(more);
        }
    }

    pub(super) const fn skipped(check: &'static str) -> Self {
        Self { check, state: State::Skipped, note: None, findings: Vec::new() }
    }

    /// Looking itself failed.
    pub(super) fn failed(check: &'static str, reason: String) -> Self {
        Self::new(check, vec![Finding::fail(reason, "see to this first, then check again")], "")
    }
}

/// The worst of all checks.
pub(super) fn worst(checks: &[CheckResult]) -> State {
    checks.iter().map(|check| check.state).max().unwrap_or(State::Ok)
}

/// The checks for people.
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
            (None, State::Skipped) => "not checked at: see to what is above first",
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
        State::Fail => "\nA consumer can't work here; what to do is said below each finding.\n",
        State::Warn => "\nA consumer can work here; what to do about the rest is said below it.\n",
        State::Ok | State::Skipped => "\nA consumer can work here.\n",
    });
    text
}

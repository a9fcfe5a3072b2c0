//! The results of the checks, and how they are printed.

use serde::Serialize;

use crate::commands::output::{BOLD, GREEN, RED, escape};

/// The result of one check.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) check: &'static str,
    state: State,
    /// Information about a check that passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) findings: Vec<Finding>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    #[serde(rename = "well")]
    Ok,
    #[serde(rename = "wrong")]
    Failed,
    /// It depends on a check that failed.
    Skipped,
}

/// A problem.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    finding: String,
    /// The command or the SQL that fixes it.
    #[serde(rename = "mend")]
    fix: String,
}

impl Finding {
    pub(super) const fn new(finding: String, fix: String) -> Self {
        Self { finding, fix }
    }
}

impl Check {
    pub(super) const fn passed(check: &'static str, note: String) -> Self {
        Self { check, state: State::Ok, note: Some(note), findings: Vec::new() }
    }

    pub(super) fn failed(check: &'static str, finding: Finding) -> Self {
        Self { check, state: State::Failed, note: None, findings: vec![finding] }
    }

    /// A check that passed, with `note`, if there are no findings; one that failed otherwise.
    pub(super) fn from_findings(check: &'static str, findings: Vec<Finding>, note: String) -> Self {
        if findings.is_empty() {
            return Self::passed(check, note);
        }
        Self { check, state: State::Failed, note: None, findings }
    }

    pub(super) const fn skipped(check: &'static str) -> Self {
        Self { check, state: State::Skipped, note: None, findings: Vec::new() }
    }

    /// A check that could not be made.
    pub(super) fn from_error(check: &'static str, error: &anyhow::Error) -> Self {
        let fix = "fix this first, then check again".to_owned();
        Self::failed(check, Finding::new(format!("{error:#}"), fix))
    }
}

/// Quotes `word` for a shell.
pub(super) fn shell_quote(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./@%".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Lays out the results as text.
pub(super) fn render(checks: &[Check], findings: usize) -> String {
    let mut page = String::new();
    for check in checks {
        let (style, mark) = match check.state {
            State::Ok => (GREEN, "ok"),
            State::Failed => (RED, "FAIL"),
            State::Skipped => (BOLD, "-"),
        };
        let note = match (&check.note, check.state) {
            (Some(note), _) => note,
            (None, State::Skipped) => "not checked: fix the above first",
            (None, _) => "",
        };
        let first = check.findings.first().map_or(note, |finding| finding.finding.as_str());
        let name = check.check;
        page.push_str(&format!("{style}{mark:<4}{style:#} {name:<15} {}\n", escape::line(first)));
        for (index, finding) in check.findings.iter().enumerate() {
            if index > 0 {
                page.push_str(&format!("{:21}{}\n", "", escape::line(&finding.finding)));
            }
            for line in finding.fix.lines() {
                page.push_str(&format!("{:23}{BOLD}{}{BOLD:#}\n", "", escape::line(line)));
            }
        }
    }
    page.push_str(&match findings {
        0 => "\nA relay can work here.\n".to_owned(),
        1 => "\n1 problem found; the fix is below it.\n".to_owned(),
        _ => format!("\n{findings} problems found; the fix is below each.\n"),
    });
    page
}

#[cfg(test)]
mod tests {
    use super::shell_quote;

    #[test]
    fn quoted_names_are_one_word_to_a_shell() {
        assert_eq!(shell_quote("orders.events"), "orders.events");
        assert_eq!(shell_quote(""), "''");
        assert_eq!(shell_quote("it's $HOME"), r"'it'\''s $HOME'");
    }
}

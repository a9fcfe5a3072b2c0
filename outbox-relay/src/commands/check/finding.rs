//! What a check says.

use serde::Serialize;

use crate::commands::plain;
use crate::commands::print::{BOLD, GREEN, RED};

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) check: &'static str,
    state: State,
    /// What there is to say when nothing is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) findings: Vec<Finding>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Well,
    Wrong,
    /// Something else has to be mended first.
    Skipped,
}

/// Something that is wrong.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    finding: String,
    /// The command or the SQL that mends it.
    mend: String,
}

impl Finding {
    pub(super) const fn new(finding: String, mend: String) -> Self {
        Self { finding, mend }
    }
}

impl Check {
    pub(super) const fn well(check: &'static str, note: String) -> Self {
        Self { check, state: State::Well, note: Some(note), findings: Vec::new() }
    }

    pub(super) fn wrong(check: &'static str, finding: Finding) -> Self {
        Self { check, state: State::Wrong, note: None, findings: vec![finding] }
    }

    /// Well, and `note`, when there are no findings.
    pub(super) fn of(check: &'static str, findings: Vec<Finding>, note: String) -> Self {
        if findings.is_empty() {
            return Self::well(check, note);
        }
        Self { check, state: State::Wrong, note: None, findings }
    }

    pub(super) const fn skipped(check: &'static str) -> Self {
        Self { check, state: State::Skipped, note: None, findings: Vec::new() }
    }

    /// Looking itself failed.
    pub(super) fn failed(check: &'static str, error: &anyhow::Error) -> Self {
        let mend = "mend this first, then check again".to_owned();
        Self::wrong(check, Finding::new(format!("{error:#}"), mend))
    }
}

/// `word` as one word of a shell's command.
pub(super) fn shell(word: &str) -> String {
    let harmless = |letter: char| letter.is_ascii_alphanumeric() || "_-./@%".contains(letter);
    if !word.is_empty() && word.chars().all(harmless) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The checks for people.
pub(super) fn page(checks: &[Check], findings: usize) -> String {
    let mut page = String::new();
    for check in checks {
        let (style, mark) = match check.state {
            State::Well => (GREEN, "well"),
            State::Wrong => (RED, "WRONG"),
            State::Skipped => (BOLD, "-"),
        };
        let note = match (&check.note, check.state) {
            (Some(note), _) => note,
            (None, State::Skipped) => "not looked at: mend what is above first",
            (None, _) => "",
        };
        let first = check.findings.first().map_or(note, |finding| finding.finding.as_str());
        let name = check.check;
        page.push_str(&format!("{style}{mark:<6}{style:#} {name:<12} {}\n", plain::line(first)));
        for (index, finding) in check.findings.iter().enumerate() {
            if index > 0 {
                page.push_str(&format!("{:20}{}\n", "", plain::line(&finding.finding)));
            }
            for line in finding.mend.lines() {
                page.push_str(&format!("{:22}{BOLD}{}{BOLD:#}\n", "", plain::line(line)));
            }
        }
    }
    page.push_str(&match findings {
        0 => "\nA relay can work here.\n".to_owned(),
        1 => "\n1 thing is wrong; what mends it is below it.\n".to_owned(),
        _ => format!("\n{findings} things are wrong; what mends each is below it.\n"),
    });
    page
}

#[cfg(test)]
mod tests {
    use super::shell;

    #[test]
    fn names_are_one_word_to_a_shell() {
        assert_eq!(shell("orders.events"), "orders.events");
        assert_eq!(shell(""), "''");
        assert_eq!(shell("it's $HOME"), r"'it'\''s $HOME'");
    }
}

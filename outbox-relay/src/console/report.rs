//! How an operation stands, as pages and programs see it.

use serde::Serialize;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::invocation::InvocationError;
use super::operations::{Operation, State};
use super::outcome::{count_skipped, outcome, skipped};
use super::render::grouped;
use crate::commands::progress::ProgressLine;

/// How many rows that were not changed are shown.
const SHOWN_SKIPPED: usize = 1000;

/// An operation as pages and programs see it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    id: Uuid,
    action: String,
    what: String,
    by: String,
    state: &'static str,
    started_at: String,
    command: String,
    /// How far it is, or why nothing happens yet.
    progress: Option<String>,
    done: Option<u64>,
    total: Option<u64>,
    /// Whether it was told to stop.
    is_stopping: bool,
    outcome_sentence: Option<String>,
    result: Value,
    errors: Option<String>,
    skipped: Vec<Value>,
    exit_status: Option<u8>,
    /// What was typed and not stored.
    typed: Option<String>,
    /// The page on which it can be changed and sent again.
    again: Option<String>,
    back: String,
    /// The page of what it changes, if that is one.
    subject: Option<String>,
}

impl Operation {
    /// Returns how it stands.
    pub(super) fn report(&self) -> Report {
        let started_at = self.started_at.format(&Rfc3339).unwrap_or_default();
        let (state, result, notes, status) = match &self.state {
            State::Waiting | State::Running => ("running", Value::Null, None, None),
            State::Ended(Ok(output)) => {
                let value = output.value().unwrap_or(Value::Null);
                let notes = Some(output.notes.clone()).filter(|notes| !notes.is_empty());
                let state = match self.is_done() {
                    true => "done",
                    false if self.is_stopped => "stopped",
                    false => "failed",
                };
                (state, value, notes, Some(output.status))
            }
            State::Ended(Err(error)) => {
                let is_stopped =
                    matches!(error, InvocationError::NotBegun | InvocationError::Stopped);
                let state = if is_stopped { "stopped" } else { "failed" };
                (state, Value::Null, Some(error.to_string()), None)
            }
        };
        let is_ended = matches!(self.state, State::Ended(_));
        let mut skipped = skipped(&result);
        let skipped_count = count_skipped(&result, skipped.len());
        skipped.truncate(SHOWN_SKIPPED);
        Report {
            id: self.id,
            action: self.action.clone(),
            what: self.what.clone(),
            by: self.user.name.clone(),
            state,
            started_at,
            command: self.command.clone(),
            progress: self.progress(),
            done: self.progress.as_ref().map(|line| line.done),
            total: self.progress.as_ref().map(|line| line.total),
            is_stopping: !is_ended && self.stop.is_cancelled(),
            outcome_sentence: match (&self.state, status) {
                (State::Ended(Err(InvocationError::NotBegun)), _) => {
                    Some("It was stopped before it began.".to_owned())
                }
                (State::Ended(Err(InvocationError::Stopped)), _) => {
                    Some("It was stopped: the audit has what was done until then.".to_owned())
                }
                (State::Ended(Err(_)), _) => Some(
                    "It could not be run, or was killed: the audit has what was done.".to_owned(),
                ),
                (_, Some(_)) if state == "stopped" => {
                    Some("It was stopped. What was done until then stays.".to_owned())
                }
                (_, status) => status.map(|status| outcome(status, &result, skipped_count)),
            },
            result,
            errors: notes.map(|notes| notes.replace("error: ", "")),
            skipped,
            exit_status: status,
            typed: self.contents.clone().filter(|_| is_ended),
            again: self.again.clone().filter(|_| is_ended && self.contents.is_some()),
            back: self.back.clone(),
            subject: self.subject.clone(),
        }
    }

    /// How far it is while it runs, as a sentence.
    fn progress(&self) -> Option<String> {
        let is_stopping = self.stop.is_cancelled();
        match (&self.state, &self.progress) {
            (State::Ended(_), _) => None,
            (_, _) if is_stopping => {
                Some("It is told to stop, and ends what it has in hand.".to_owned())
            }
            (State::Waiting, _) => Some("It waits until another change has ended.".to_owned()),
            (State::Running, Some(ProgressLine { done, total, nouns })) => {
                let (done, total) = (grouped(&done.to_string()), grouped(&total.to_string()));
                Some(format!("{done} of {total} {nouns}."))
            }
            (State::Running, None) => None,
        }
    }
}

//! Changes that run, and those that ended lately. One belongs to a number that its form had when it
//! was shown: sent twice, it is done once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::invocation::{Commands, InvocationError, Output};
use super::users::User;

/// How many ended ones are kept, the latest.
const KEPT: usize = 500;

/// How many rows that were not changed are shown.
const SHOWN_SKIPPED: usize = 1000;

/// How many bytes of a command's output are kept.
const KEPT_OUTPUT: usize = 1024 * 1024;

/// How many may run or wait at a time.
const RUNNING: usize = 32;

/// A change that somebody asked for.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) id: Uuid,
    pub(super) action: String,
    /// What was confirmed, as a sentence.
    pub(super) what: String,
    pub(super) user: User,
    pub(super) arguments: Vec<String>,
    /// What it reads from standard input, until it has ended.
    pub(super) contents: Option<String>,
    /// By which the same form is known.
    pub(super) digest: [u8; 32],
    /// As one would type it.
    pub(super) command: String,
    /// The page to go on with.
    pub(super) back: String,
    pub(super) started_at: OffsetDateTime,
    pub(super) state: State,
}

/// How far an operation is.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// Others run first.
    Waiting,
    Running,
    Ended(Result<Output, InvocationError>),
}

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
    /// Why nothing happens yet.
    progress: Option<&'static str>,
    outcome_sentence: Option<String>,
    result: Value,
    errors: Option<String>,
    skipped: Vec<Value>,
    exit_status: Option<u8>,
    back: String,
}

/// The operations of this process.
#[derive(Default)]
pub(super) struct Operations {
    by_id: Mutex<HashMap<Uuid, Operation>>,
    running: TaskTracker,
    /// Notified whenever the state of one changes.
    changed: Notify,
}

impl Operations {
    /// Begins `operation`, unless one with its number was begun before.
    ///
    /// # Errors
    /// When too many others run, or its number belongs to another one.
    pub(super) fn begin(
        self: &Arc<Self>,
        commands: &Arc<Commands>,
        operation: Operation,
    ) -> Result<Uuid, NotBegun> {
        let id = operation.id;
        let mut all = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(&id) {
            let is_same = known.digest == operation.digest && known.user == operation.user;
            return is_same.then_some(id).ok_or(NotBegun::AnotherForm);
        }
        let ended = |one: &&Operation| matches!(one.state, State::Ended(_));
        if all.len() - all.values().filter(ended).count() >= RUNNING {
            return Err(NotBegun::TooMany);
        }
        forget_oldest(&mut all);
        let Operation { arguments, contents, user, .. } = operation.clone();
        // Not its reason and ids: the audit table has them, where they can be erased.
        tracing::info!(operation = %id, user = user.name, action = operation.action, "a change begins");
        all.insert(id, operation);
        drop(all);
        let (this, commands) = (Arc::clone(self), Arc::clone(commands));
        self.running.spawn(async move {
            let result = match commands.turn_to_change().await {
                Ok(_turn) => {
                    this.set(id, State::Running);
                    commands.change(&arguments, contents.as_deref(), &user).await
                }
                Err(error) => Err(error),
            };
            let status = result.as_ref().ok().map(|output| output.status);
            tracing::info!(operation = %id, status, "a change has ended");
            this.set(id, State::Ended(result.map(shortened)));
        });
        Ok(id)
    }

    fn set(&self, id: Uuid, state: State) {
        let mut all = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(operation) = all.get_mut(&id) {
            if matches!(state, State::Ended(_)) {
                operation.contents = None;
            }
            operation.state = state;
        }
        drop(all);
        self.changed.notify_waiters();
    }

    /// Waits until the operation with this number has ended or is forgotten.
    pub(super) async fn ended(&self, id: Uuid) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on none is missed.
            changed.as_mut().enable();
            if !self.is_under_way(id) {
                return;
            }
            changed.await;
        }
    }

    fn is_under_way(&self, id: Uuid) -> bool {
        let all = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&id).is_some_and(|one| !matches!(one.state, State::Ended(_)))
    }

    /// Returns the operation with this number.
    pub(super) fn find(&self, id: Uuid) -> Option<Operation> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Waits until all have ended.
    pub(super) async fn finish(&self) {
        self.running.close();
        self.running.wait().await;
    }
}

/// Why an operation was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotBegun {
    /// Too many others run or wait.
    TooMany,
    /// Its number belongs to a form with other values.
    AnotherForm,
}

/// What of an output is kept: many are, and each could be large.
fn shortened(output: Output) -> Output {
    if output.text.len() <= KEPT_OUTPUT {
        return output;
    }
    let notes =
        format!("{}\nIts answer is too large to be kept here: see the audit.", output.notes);
    Output { text: String::new(), notes: notes.trim_start().to_owned(), ..output }
}

/// Makes room for one more.
fn forget_oldest(all: &mut HashMap<Uuid, Operation>) {
    while all.len() >= KEPT {
        let ended = all.values().filter(|one| matches!(one.state, State::Ended(_)));
        let Some(oldest) = ended.min_by_key(|one| one.started_at).map(|one| one.id) else { break };
        all.remove(&oldest);
    }
}

impl Operation {
    /// Returns how it stands.
    pub(super) fn report(&self) -> Report {
        let started_at = self.started_at.format(&Rfc3339).unwrap_or_default();
        let (state, result, notes, status) = match &self.state {
            State::Waiting | State::Running => ("running", Value::Null, None, None),
            State::Ended(Ok(output)) => {
                let value = output.value().unwrap_or(Value::Null);
                let is_done = matches!(output.status, 0 | 3);
                let notes = Some(output.notes.clone()).filter(|notes| !notes.is_empty());
                (if is_done { "done" } else { "failed" }, value, notes, Some(output.status))
            }
            State::Ended(Err(error)) => ("failed", Value::Null, Some(error.to_string()), None),
        };
        let mut skipped = skipped(&result);
        let skipped_count = skipped.len();
        skipped.truncate(SHOWN_SKIPPED);
        Report {
            id: self.id,
            action: self.action.clone(),
            what: self.what.clone(),
            by: self.user.name.clone(),
            state,
            started_at,
            command: self.command.clone(),
            progress: matches!(self.state, State::Waiting)
                .then_some("It waits until another change has ended."),
            outcome_sentence: match (&self.state, status) {
                (State::Ended(Err(InvocationError::TooLarge)), _) => {
                    Some("It ran, and its answer is too large to be shown.".to_owned())
                }
                (State::Ended(Err(_)), _) => Some(
                    "It could not be run, or was killed: the audit has what was done.".to_owned(),
                ),
                (_, status) => status.map(|status| outcome(status, &result, skipped_count)),
            },
            result,
            errors: notes.map(|notes| notes.replace("error: ", "")),
            skipped,
            exit_status: status,
            back: self.back.clone(),
        }
    }
}

/// The rows that a command names as not changed: its fields `not_retried`, `not_discarded` and so
/// on.
fn skipped(result: &Value) -> Vec<Value> {
    let fields = result.as_object().into_iter().flatten();
    let named = fields.filter(|(name, _)| name.starts_with("not_") && *name != "not_confirmed_by");
    named.filter_map(|(_, value)| value.as_array()).flatten().cloned().collect()
}

/// What a command did, as a sentence.
fn outcome(status: u8, result: &Value, skipped: usize) -> String {
    let not_changed = match skipped {
        0 => String::new(),
        1 => " 1 was not changed: see below.".to_owned(),
        count => format!(" {count} were not changed: see below."),
    };
    let matched = result.get("matched").and_then(Value::as_u64);
    let of = matched.map(|matched| format!(" {matched} matched.")).unwrap_or_default();
    match status {
        0 => format!("Done.{of}{not_changed}"),
        3 => format!(
            "Done.{of}{not_changed} Some may still arrive as they were before: they were in flight, or a relay has not confirmed the change."
        ),
        _ if skipped > 0 => format!("Not all was done.{of}{not_changed}"),
        _ => "Nothing was changed, or not all was done.".to_owned(),
    }
}

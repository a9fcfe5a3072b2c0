//! Changes that run, and those that ended lately. One belongs to a number that its form had when it
//! was shown: sent twice, it is done once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::history::History;
use super::invocation::{CHANGES, Commands, InvocationError, Output, Told};
use super::users::User;
use crate::commands::progress::ProgressLine;

/// How many ended ones are kept, the latest.
const KEPT: usize = 500;

/// How many bytes are kept of all that have ended: answers, and contents that were not stored.
const KEPT_BYTES: usize = 32 * 1024 * 1024;

/// How many may run or wait at a time.
const RUNNING: usize = 32;

/// How many bytes of contents those have together.
const UNDER_WAY_BYTES: usize = 32 * 1024 * 1024;

/// How many of them may be kept to a rate, and so take hours: half of those that run at a time, so
/// that nobody waits for them.
const PACED: usize = CHANGES / 2;

/// A change that somebody asked for.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) id: Uuid,
    pub(super) action: String,
    /// What was confirmed, as a sentence.
    pub(super) what: String,
    pub(super) user: User,
    pub(super) arguments: Vec<String>,
    /// Whether it is kept to a rate.
    pub(super) is_paced: bool,
    /// What it reads from standard input, until that is stored.
    pub(super) contents: Option<String>,
    /// Why, for the audit table.
    pub(super) reason: Option<String>,
    /// The page on which its contents can be typed anew, if it has any.
    pub(super) again: Option<String>,
    /// By which the same form is known.
    pub(super) digest: [u8; 32],
    /// As one would type it.
    pub(super) command: String,
    /// The page to go on with.
    pub(super) back: String,
    /// The page of what it changes, if that is one event or dead letter.
    pub(super) subject: Option<String>,
    pub(super) started_at: OffsetDateTime,
    pub(super) state: State,
    /// How far it is, if its command has said so.
    pub(super) progress: Option<ProgressLine>,
    /// Cancelled when it is told to stop.
    pub(super) stop: CancellationToken,
    /// Whether it was told to stop before it ended.
    pub(super) is_stopped: bool,
}

/// How far an operation is.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// Others run first.
    Waiting,
    Running,
    Ended(Result<Output, InvocationError>),
}

/// The operations of this process.
#[derive(Default)]
pub(super) struct Operations {
    by_id: Mutex<HashMap<Uuid, Operation>>,
    running: TaskTracker,
    /// Notified whenever the state of one changes.
    changed: Notify,
}

impl Operation {
    /// Whether all was done that was asked for.
    pub(super) const fn is_done(&self) -> bool {
        matches!(&self.state, State::Ended(Ok(Output { status: 0 | 3, .. })))
    }
}

impl Operations {
    /// Begins `operation`, unless one with its number was begun before.
    ///
    /// # Errors
    /// When too many others run, or its number belongs to another one.
    pub(super) fn begin(
        self: &Arc<Self>,
        commands: &Arc<Commands>,
        history: &Arc<History>,
        operation: Operation,
    ) -> Result<Uuid, NotBegun> {
        let id = operation.id;
        let mut all = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(&id) {
            let is_same = known.digest == operation.digest && known.user == operation.user;
            return is_same.then_some(id).ok_or(NotBegun::AnotherForm);
        }
        let under_way = || all.values().filter(|one| !matches!(one.state, State::Ended(_)));
        let bytes = |one: &Operation| one.contents.as_ref().map_or(0, String::len);
        let sent: usize = under_way().map(bytes).sum();
        if under_way().count() >= RUNNING || sent + bytes(&operation) > UNDER_WAY_BYTES {
            return Err(NotBegun::TooMany);
        }
        if operation.is_paced && under_way().filter(|one| one.is_paced).count() >= PACED {
            return Err(NotBegun::TooManyPaced);
        }
        forget_oldest(&mut all);
        let Operation { arguments, contents, reason, user, stop, .. } = operation.clone();
        // Not its reason and ids: the audit table has them, where they can be erased.
        tracing::info!(operation = %id, user = user.name, action = operation.action, "a change begins");
        all.insert(id, operation);
        drop(all);
        let (this, commands) = (Arc::clone(self), Arc::clone(commands));
        let history = Arc::clone(history);
        self.running.spawn(async move {
            let result = match commands
                .turn_to_change(contents.as_ref().map_or(0, String::len), &stop)
                .await
            {
                Ok(_turn) => {
                    this.set(id, State::Running);
                    let on_progress = |line| this.set_progress(id, line);
                    let told = Told { contents: contents.as_deref(), reason: reason.as_deref() };
                    commands.change(&arguments, told, &user, &stop, on_progress).await
                }
                Err(error) => Err(error),
            };
            let status = result.as_ref().ok().map(|output| output.status);
            tracing::info!(operation = %id, status, "a change has ended");
            this.set(id, State::Ended(result));
            history.change_has_ended();
        });
        Ok(id)
    }

    fn set(&self, id: Uuid, state: State) {
        let mut all = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(operation) = all.get_mut(&id) {
            if matches!(state, State::Ended(_)) {
                operation.is_stopped = operation.stop.is_cancelled();
                operation.arguments = Vec::new();
            }
            operation.state = state;
            if operation.is_done() {
                operation.contents = None;
            }
        }
        forget_bytes(&mut all);
        drop(all);
        self.changed.notify_waiters();
    }

    fn set_progress(&self, id: Uuid, line: ProgressLine) {
        let mut all = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(operation) = all.get_mut(&id) {
            operation.progress = Some(line);
        }
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
    /// Too many others are kept to a rate.
    TooManyPaced,
    /// Its number belongs to a form with other values.
    AnotherForm,
}

/// Drops the oldest answers and contents of operations that have ended, if there are too many.
fn forget_bytes(all: &mut HashMap<Uuid, Operation>) {
    let mut kept: Vec<&mut Operation> =
        all.values_mut().filter(|one| matches!(one.state, State::Ended(_))).collect();
    kept.sort_unstable_by_key(|one| std::cmp::Reverse(one.started_at));
    let mut bytes = 0;
    for operation in kept {
        bytes += operation.contents.as_ref().map_or(0, String::len) + operation.command.len();
        if let State::Ended(Ok(output)) = &operation.state {
            bytes += output.text.len() + output.notes.len();
        }
        if bytes <= KEPT_BYTES {
            continue;
        }
        operation.contents = None;
        if let State::Ended(Ok(output)) = &mut operation.state {
            output.text = String::new();
            output.notes = "Its answer is no longer kept here: see the audit.".to_owned();
        }
    }
}

/// Makes room for one more.
fn forget_oldest(all: &mut HashMap<Uuid, Operation>) {
    while all.len() >= KEPT {
        let ended = all.values().filter(|one| matches!(one.state, State::Ended(_)));
        let Some(oldest) = ended.min_by_key(|one| one.started_at).map(|one| one.id) else { break };
        all.remove(&oldest);
    }
}

//! Actions, and operations.

use poem_openapi::{Enum, Object, Union};
use serde_json::Value;
use uuid::Uuid;

use super::dead_letters::{Letter, ShownLetter};
use super::events::{Event, ShownEvent};
use super::shapes::{Either, Nullable};
use super::status::Verdict;

/// An error (RFC 9457)
#[derive(Debug, Object)]
pub(in crate::console::api) struct Problem {
    /// about:blank: the status says it all
    r#type: String,
    /// The meaning of the status
    title: String,
    status: u16,
    /// What is wrong
    detail: String,
    /// What may help
    remedy: Option<String>,
    /// A sentence for each fault of a body
    errors: Option<Vec<String>>,
}

/// What can be done: `retry`, `replay`, `edit`, `edit-headers`, `pause`, `resume`, `return`, `note`
/// and `edit-letter` need the rights of operator, the others those of admin
#[derive(Debug, Enum)]
#[oai(rename_all = "kebab-case")]
pub(super) enum ActionName {
    Retry,
    Discard,
    Replay,
    Edit,
    EditHeaders,
    Restore,
    Forget,
    Pause,
    Resume,
    Return,
    Note,
    EditLetter,
    DiscardLetters,
    ForgetLetters,
    /// Stops the operation that `operation` names, after the batch in hand: who began it may, and
    /// who has the rights of admin
    Stop,
}

/// A change: what is named one by one, or what a filter selects, which then has at least one field
/// of it. What has other fields than its action is refused
#[derive(Debug, Object)]
pub(in crate::console::api) struct NewOperation {
    action: ActionName,
    /// A number of your own: sent again with the same fields, it is the same operation
    operation: Option<Uuid>,
    /// Why, for the audit table
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
    /// The events, by their `event_id`, in place of a filter; at most 1,000
    event_id: Option<Either<Uuid, Vec<Uuid>>>,
    /// The dead letters, by their id, in place of a filter; at most 1,000
    id: Option<Either<i64, Vec<i64>>>,
    /// The pauses to be resumed, by their id
    pause_id: Option<Either<i64, Vec<i64>>>,
    /// With a filter: how many match, as `count` of the confirmation. If that has changed, nothing
    /// is done
    #[oai(validator(minimum(value = "0")))]
    expect: Option<i64>,
    /// With a filter: the highest id that was counted. What came since is left as it is
    up_to_id: Option<i64>,
    /// Of the edits: `digest` of the event or dead letter as you have seen it. If it is another one
    /// by now, nothing is done
    if_unchanged: Option<String>,
    /// Filter, or what is paused; of `edit` the new type
    r#type: Option<String>,
    aggregate_type: Option<String>,
    aggregate: Option<String>,
    queue: Option<String>,
    message_id: Option<String>,
    fingerprint: Option<String>,
    kind: Option<String>,
    /// A part of the error
    error: Option<String>,
    /// A time, or a duration before now
    since: Option<String>,
    until: Option<String>,
    /// Only stuck events
    stuck: Option<bool>,
    /// Everything: of `pause` and `resume`
    all: Option<bool>,
    /// How long a pause lasts, such as 30m
    r#for: Option<String>,
    /// The queue that dead letters go to, in place of their own
    to: Option<String>,
    /// How fast dead letters are returned at the most, such as 50/s
    rate: Option<String>,
    /// The note
    text: Option<String>,
    /// The new payload: JSON as text
    payload: Option<String>,
    /// The new headers: JSON as text
    headers: Option<String>,
    /// The new body of a dead letter
    body: Option<String>,
    /// Retry the event that is edited
    retry: Option<bool>,
}

#[derive(Debug, Enum)]
#[oai(rename_all = "lowercase")]
pub(super) enum OperationState {
    /// It runs, or waits for others
    Running,
    /// All was done; what was left as it is stands in `skipped`
    Done,
    /// Nothing was done, or not all: see `errors` and `skipped`
    Failed,
    /// Somebody has stopped it; what was done until then stays
    Stopped,
}

/// A session that has a row locked
#[derive(Debug, Object)]
pub(super) struct LockHolder {
    pid: Nullable<i32>,
    name: Nullable<String>,
}

/// An event that was left as it is
#[derive(Debug, Object)]
pub(super) struct SkippedEvent {
    event_id: Uuid,
    why: String,
    published_at: Option<String>,
    locked_by: Option<Vec<LockHolder>>,
    /// What the database says
    refusal: Option<String>,
}

/// A dead letter that was left as it is
#[derive(Debug, Object)]
pub(super) struct SkippedLetter {
    id: i64,
    reason: String,
    state: Option<String>,
    by: Option<String>,
    detail: Option<String>,
}

/// What was left as it is
#[derive(Debug, Union)]
pub(super) enum Skipped {
    Event(SkippedEvent),
    Letter(SkippedLetter),
}

/// What else fails of the cause of the event that was mended
#[derive(Debug, Object)]
pub(super) struct NextOfCause {
    /// The next one
    event_id: Nullable<Uuid>,
    /// The page of the same edit of it, if this was an edit
    edit: Nullable<String>,
    left: u64,
    /// Whether there may be more
    is_capped: bool,
}

/// A change, and how it stands. The console remembers the last 500 until it ends; the audit table
/// has all
#[derive(Debug, Object)]
pub(in crate::console::api) struct Operation {
    id: Uuid,
    action: ActionName,
    what: String,
    by: String,
    state: OperationState,
    started_at: String,
    /// As one would type it
    command: String,
    /// How far it is, as a sentence
    progress: Nullable<String>,
    /// How many are done, if the command has said so
    done: Nullable<u64>,
    /// Of how many
    total: Nullable<u64>,
    /// Whether it is told to stop
    is_stopping: bool,
    outcome_sentence: Nullable<String>,
    /// What the command prints with `--json`: `matched`, how many it `retried`, and so on; null
    /// until it has ended. Of a long list the beginning is there, up to 1,000 rows, and `cut` has
    /// the length of each list that is cut
    result: Value,
    /// What the command says
    errors: Nullable<String>,
    /// What was left as it is, as far as `result` has it; of `resume` the ids of pauses that are not
    /// active
    skipped: Vec<Either<i64, Skipped>>,
    /// 3: done, and some may still arrive as they were before
    exit_status: Nullable<u8>,
    /// What was sent and not stored
    typed: Nullable<String>,
    /// The page on which a person can change it and send it again
    again: Nullable<String>,
    /// The page that a person goes on with
    back: String,
    /// The page of what is changed, if that is one event or dead letter
    subject: Nullable<String>,
    /// When it is asked for again
    next_of_cause: Option<NextOfCause>,
    /// When it is asked for again and is done: whether events flow now
    verdict: Option<Verdict>,
}

/// An example of what is changed
#[derive(Debug, Union)]
pub(super) enum Example {
    Event(Box<Event>),
    ShownEvent(Box<ShownEvent>),
    Letter(Box<Letter>),
    ShownLetter(Box<ShownLetter>),
}

/// A field that the page sends along
#[derive(Debug, Object)]
pub(super) struct SentField {
    name: String,
    /// Text, or a number
    value: Value,
}

/// A field that a person fills in
#[derive(Debug, Object)]
pub(super) struct Input {
    name: String,
    label: String,
    hint: Option<String>,
    r#type: String,
    required: Option<bool>,
    rows: Option<Nullable<u32>>,
    value: String,
    /// What it is at present, where `value` is what somebody typed before
    now: Option<Nullable<String>>,
    options: Option<Value>,
}

/// What an action will do
#[derive(Debug, Object)]
pub(in crate::console::api) struct Confirmation {
    action: ActionName,
    verb: String,
    noun: String,
    /// As a sentence
    what: String,
    /// How many match: give it as `expect`. Null for what is not counted
    count: Nullable<i64>,
    /// Give it as `up_to_id`
    up_to_id: Nullable<i64>,
    examples: Vec<Example>,
    fields: Vec<SentField>,
    inputs: Vec<Input>,
    /// Whether a person types the number; a program need not
    needs_number: bool,
    needs_reason: bool,
    /// What a page fills in as the reason, as `?reason=` says
    reason: Nullable<String>,
    is_destroying: bool,
    back: String,
    /// Whether you may do it
    allowed: bool,
    why_not: Nullable<String>,
}

//! Events that a command was asked to change and did not.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use uuid::Uuid;

use super::output::escape;
use super::queries::EventState;
use super::session::{Backend, Session};
use super::{output, queries};

/// How many skipped events are printed.
const PRINT_LIMIT: usize = 20;

/// Why an event was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SkipReason {
    /// The event is pending, and the command does not change such an event: it never did, or
    /// somebody has changed the event meanwhile.
    Pending,
    /// The event should have been changed; a lock, a trigger or a policy prevents it.
    Locked,
    /// The database refuses to change the event: a foreign key, a trigger, a constraint.
    Refused,
    /// The event is published.
    Published,
    /// The event is not in the outbox.
    NotFound,
}

/// An event that was not changed.
#[derive(Debug, Serialize)]
pub(super) struct SkippedEvent {
    pub(super) event_id: Uuid,
    #[serde(rename = "why")]
    pub(super) reason: SkipReason,
    #[serde(skip_serializing_if = "Option::is_none")]
    published_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    locked_by: Vec<Backend>,
    /// What the database said.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
}

impl SkippedEvent {
    fn new(event_id: Uuid, reason: SkipReason) -> Self {
        Self { event_id, reason, published_at: None, locked_by: Vec::new(), refusal: None }
    }

    /// An event that the database refuses to change.
    pub(super) fn refused(event_id: Uuid, reason: String) -> Self {
        Self { refusal: Some(reason), ..Self::new(event_id, SkipReason::Refused) }
    }

    /// Notes that the event, which counted as locked, is not one that the command changes.
    pub(super) fn no_longer_matches(&mut self) {
        self.reason = SkipReason::Pending;
        self.locked_by.clear();
    }

    /// Says that the event was not, say, `retried`; `if_pending` is the reason if it is pending.
    pub(super) fn sentence(&self, changed: &str, if_pending: &str) -> String {
        let id = self.event_id;
        match (self.reason, &self.published_at, self.locked_by.first()) {
            (SkipReason::Pending, ..) => format!("{id} was not {changed}: {if_pending}"),
            (SkipReason::Refused, ..) => {
                let reason = self.refusal.as_deref().unwrap_or_default();
                format!("{id} was not {changed}: {}", escape::line(reason))
            }
            (SkipReason::Locked, _, Some(holder)) => {
                format!("{id} was not {changed}: {holder} has it locked")
            }
            (SkipReason::Locked, _, None) => format!(
                "{id} was not {changed}: another session had it locked, or a trigger or a policy prevents the change"
            ),
            (SkipReason::Published, Some(at), _) => {
                format!("{id} was not {changed}: it was published at {at}; see outbox-relay replay")
            }
            (SkipReason::Published | SkipReason::NotFound, ..) => {
                format!(
                    "{id} was not {changed}: there is no such event; see outbox-relay show {id}"
                )
            }
        }
    }
}

/// Prints a note for each event that was not, say, `retried`.
pub(super) fn print(skipped: &[SkippedEvent], changed: &str, if_pending: &str) {
    for event in skipped.iter().take(PRINT_LIMIT) {
        output::note(&event.sentence(changed, if_pending));
    }
    if skipped.len() > PRINT_LIMIT {
        output::note(&format!("… and {} more were not {changed}", skipped.len() - PRINT_LIMIT));
    }
}

/// The pending events that a command changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eligible {
    /// All pending events.
    Pending,
    /// Those that wait for their next attempt or are stuck.
    HeldBack,
    /// None: the command is about published events.
    None,
}

impl Eligible {
    const fn includes(self, state: &EventState) -> bool {
        match self {
            Self::Pending => true,
            Self::HeldBack => state.held_back,
            Self::None => false,
        }
    }
}

/// Returns those of `named` that are not among `changed`, in the same order. An `eligible` event
/// counts as locked.
pub(super) async fn find(
    session: &Session,
    named: &[Uuid],
    changed: impl IntoIterator<Item = Uuid>,
    eligible: Eligible,
) -> anyhow::Result<Vec<SkippedEvent>> {
    let mut seen: HashSet<Uuid> = changed.into_iter().collect();
    let rest: Vec<Uuid> = named.iter().copied().filter(|id| seen.insert(*id)).collect();
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let mut states: HashMap<Uuid, EventState> =
        queries::find_event_states(session, &rest).await?.into_iter().collect();
    let skipped = rest.into_iter().map(|event_id| match states.remove(&event_id) {
        Some(EventState { published_at: Some(at), .. }) => SkippedEvent {
            published_at: Some(at),
            ..SkippedEvent::new(event_id, SkipReason::Published)
        },
        Some(state) if eligible.includes(&state) => SkippedEvent::new(event_id, SkipReason::Locked),
        Some(_) => SkippedEvent::new(event_id, SkipReason::Pending),
        None => SkippedEvent::new(event_id, SkipReason::NotFound),
    });
    let mut skipped: Vec<SkippedEvent> = skipped.collect();
    add_lock_holders(session, &mut skipped).await?;
    Ok(skipped)
}

/// Returns those of `event_ids` that still exist, as locked.
pub(super) async fn find_locked(
    session: &Session,
    event_ids: &[Uuid],
) -> anyhow::Result<Vec<SkippedEvent>> {
    if event_ids.is_empty() {
        return Ok(Vec::new());
    }
    let states = queries::find_event_states(session, event_ids).await?;
    let existing: HashSet<Uuid> = states.into_iter().map(|(id, _)| id).collect();
    let locked = event_ids.iter().copied().filter(|id| existing.contains(id));
    let mut locked: Vec<SkippedEvent> =
        locked.map(|id| SkippedEvent::new(id, SkipReason::Locked)).collect();
    add_lock_holders(session, &mut locked).await?;
    Ok(locked)
}

async fn add_lock_holders(session: &Session, skipped: &mut [SkippedEvent]) -> anyhow::Result<()> {
    let locked = skipped.iter().filter(|event| event.reason == SkipReason::Locked);
    let locked: Vec<Uuid> = locked.map(|event| event.event_id).collect();
    if locked.is_empty() {
        return Ok(());
    }
    let found = match queries::find_lock_holders(session, &locked, true).await {
        Ok(found) => found,
        // The id of a transaction that has ended since was taken for that of a group.
        Err(_) => queries::find_lock_holders(session, &locked, false).await?,
    };
    let mut holders: HashMap<Uuid, Vec<Backend>> = HashMap::new();
    for (event_id, backend) in found {
        holders.entry(event_id).or_default().push(backend);
    }
    for event in skipped {
        event.locked_by = holders.remove(&event.event_id).unwrap_or_default();
    }
    Ok(())
}

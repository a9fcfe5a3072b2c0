//! Events whose outcome is known while their rows can't be changed: somebody holds a row's lock, or
//! the database refuses to change it. Confirmed ones are noted in the table `outbox_unsettled`, so
//! that neither another relay nor this one after a restart publishes them again. A failed attempt
//! needs no note: the next owner of the lane tries the event again.

use std::collections::HashMap;

use uuid::Uuid;

use crate::database::{SettleSession, queries};
use crate::settle::batch::SettleItem;

/// Characters of the database's reason that are kept.
const REASON_LIMIT: usize = 500;

/// Why a row can't be settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SettleError {
    /// Another session holds its lock.
    Locked,
    /// The database refuses to change it, and says why.
    Refused(String),
}

impl SettleError {
    /// The database changed nothing, and the event is still pending.
    pub(crate) fn unchanged() -> Self {
        Self::Refused("a trigger or a row-level policy keeps the row from being changed".to_owned())
    }

    /// A error as `outbox_unsettled` has it.
    pub(crate) fn read(kind: &str, reason: Option<String>) -> Self {
        if kind == "locked" { Self::Locked } else { Self::Refused(reason.unwrap_or_default()) }
    }

    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Refused(_) => "refused",
        }
    }

    pub(crate) fn reason(&self) -> Option<String> {
        match self {
            Self::Locked => None,
            Self::Refused(said) => {
                Some(said.chars().filter(|&c| c != '\0').take(REASON_LIMIT).collect())
            }
        }
    }
}

/// An event whose outcome is known, and why it can't be written into its row.
#[derive(Debug, Clone)]
pub(crate) struct UnsettledEvent {
    pub(crate) item: SettleItem,
    pub(crate) error: SettleError,
    /// Whether the table `outbox_unsettled` has it.
    pub(crate) is_noted: bool,
}

impl UnsettledEvent {
    pub(crate) const fn new(item: SettleItem, error: SettleError) -> Self {
        Self { item, error, is_noted: false }
    }

    const fn is_published(&self) -> bool {
        self.item.failure.is_none()
    }
}

/// Writes confirmed events into `outbox_unsettled`, unless `known`, which is what was known of them
/// before, says that they are there.
pub(crate) async fn note(
    session: &SettleSession,
    unsettled: &mut [UnsettledEvent],
    known: &[UnsettledEvent],
) {
    let noted: HashMap<Uuid, &SettleError> = known
        .iter()
        .filter(|event| event.is_noted)
        .map(|event| (event.item.event_id, &event.error))
        .collect();
    let mut new = Vec::new();
    for event in unsettled.iter_mut().filter(|event| event.is_published()) {
        let before = noted.get(&event.item.event_id);
        event.is_noted = before.is_some();
        if before.is_none_or(|before| **before != event.error) {
            new.push(event);
        }
    }
    if new.is_empty() {
        return;
    }
    match queries::note_unsettled(session, new.iter().map(|event| &**event)).await {
        Ok(()) => new.iter_mut().for_each(|event| event.is_noted = true),
        Err(error) => tracing::warn!(
            events = new.len(),
            %error,
            "confirmed events can neither be settled nor noted in outbox_unsettled: a restart now would publish them again"
        ),
    }
}

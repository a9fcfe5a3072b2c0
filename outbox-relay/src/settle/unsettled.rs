//! Events whose outcome is known while their rows can't be changed: somebody holds a row's lock, or
//! the database refuses to change it. Confirmed ones are noted in the table `outbox_unsettled`, so
//! that neither another relay nor this one after a restart publishes them again. A failed attempt
//! needs no note: the next owner of the lane tries the event again.

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

    /// An error as `outbox_unsettled` has it.
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

    pub(super) const fn is_published(&self) -> bool {
        self.item.failure.is_none()
    }
}

//! Events that were named and that a command could not change.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use uuid::Uuid;

use super::queries;
use super::session::Session;

/// Why an event was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    /// It is pending and due.
    Pending,
    /// It is published.
    Published,
    /// It is not in the outbox.
    NotFound,
}

/// An event that was not changed.
#[derive(Debug, Serialize)]
pub(super) struct Untouched {
    pub(super) event_id: Uuid,
    pub(super) why: Why,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) published_at: Option<String>,
}

impl Untouched {
    /// Says that it was not, say, `retried`, and why if it is pending.
    pub(super) fn sentence(&self, done: &str, if_pending: &str) -> String {
        let id = self.event_id;
        match (self.why, &self.published_at) {
            (Why::Pending, _) => format!("{id} was not {done}: {if_pending}"),
            (Why::Published, Some(at)) => {
                format!("{id} was not {done}: it was published at {at}; see outbox-relay replay")
            }
            (Why::Published | Why::NotFound, _) => {
                format!("{id} was not {done}: there is no such event; see outbox-relay show {id}")
            }
        }
    }
}

/// Those of `named` that are not among `changed`, in the same order.
pub(super) async fn of(
    session: &Session,
    named: &[Uuid],
    changed: &[Uuid],
) -> anyhow::Result<Vec<Untouched>> {
    let mut seen: HashSet<Uuid> = changed.iter().copied().collect();
    let left: Vec<Uuid> = named.iter().copied().filter(|id| seen.insert(*id)).collect();
    if left.is_empty() {
        return Ok(Vec::new());
    }
    let mut states: HashMap<Uuid, Option<String>> =
        queries::find_states(session, &left).await?.into_iter().collect();
    Ok(left
        .into_iter()
        .map(|event_id| match states.remove(&event_id) {
            Some(None) => Untouched { event_id, why: Why::Pending, published_at: None },
            Some(published_at) => Untouched { event_id, why: Why::Published, published_at },
            None => Untouched { event_id, why: Why::NotFound, published_at: None },
        })
        .collect())
}

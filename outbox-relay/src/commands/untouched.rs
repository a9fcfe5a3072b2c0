//! Events that were asked for and that a command could not change.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use uuid::Uuid;

use super::holders::{self, Holder};
use super::session::Session;
use super::{print, queries};

/// Events that are told of one by one.
const TOLD: usize = 20;

/// Why an event was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    /// It is pending and due.
    Pending,
    /// It is pending and held back, or old enough, and should have been changed; somebody has it locked, or keeps it from being changed.
    Locked,
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) locked_by: Vec<Holder>,
}

impl Untouched {
    fn new(event_id: Uuid, why: Why) -> Self {
        Self { event_id, why, published_at: None, locked_by: Vec::new() }
    }

    /// Says that it was not, say, `retried`, and why if it is pending.
    fn sentence(&self, done: &str, if_pending: &str) -> String {
        let id = self.event_id;
        match (self.why, &self.published_at, self.locked_by.first()) {
            (Why::Pending, ..) => format!("{id} was not {done}: {if_pending}"),
            (Why::Locked, _, Some(holder)) => {
                format!("{id} was not {done}: {holder} has it locked")
            }
            (Why::Locked, _, None) => format!(
                "{id} was not {done}: somebody had it locked, or a trigger or a policy keeps it from being changed"
            ),
            (Why::Published, Some(at), _) => {
                format!("{id} was not {done}: it was published at {at}; see outbox-relay replay")
            }
            (Why::Published | Why::NotFound, ..) => {
                format!("{id} was not {done}: there is no such event; see outbox-relay show {id}")
            }
        }
    }
}

/// Tells of events that were not, say, `retried`.
pub(super) fn tell(untouched: &[Untouched], done: &str, if_pending: &str) {
    for event in untouched.iter().take(TOLD) {
        print::aside(&event.sentence(done, if_pending));
    }
    if untouched.len() > TOLD {
        print::aside(&format!("… and {} more were not {done}", untouched.len() - TOLD));
    }
}

/// Those of `named` that are not among `changed`, in the same order; `wanted`: whether an event that is pending should have been changed
/// by whether it is held back.
pub(super) async fn of(
    session: &Session,
    named: &[Uuid],
    changed: impl IntoIterator<Item = Uuid>,
    wanted: impl Fn(bool) -> bool,
) -> anyhow::Result<Vec<Untouched>> {
    let mut seen: HashSet<Uuid> = changed.into_iter().collect();
    let left: Vec<Uuid> = named.iter().copied().filter(|id| seen.insert(*id)).collect();
    if left.is_empty() {
        return Ok(Vec::new());
    }
    let mut states: HashMap<Uuid, queries::State> =
        queries::find_states(session, &left).await?.into_iter().collect();
    let untouched = left.into_iter().map(|event_id| match states.remove(&event_id) {
        Some(queries::State { published_at: Some(at), .. }) => {
            Untouched { published_at: Some(at), ..Untouched::new(event_id, Why::Published) }
        }
        Some(state) if wanted(state.held_back) => Untouched::new(event_id, Why::Locked),
        Some(_) => Untouched::new(event_id, Why::Pending),
        None => Untouched::new(event_id, Why::NotFound),
    });
    let mut untouched: Vec<Untouched> = untouched.collect();
    name_holders(session, &mut untouched).await?;
    Ok(untouched)
}

/// Those of `left_out` that are still there, as locked.
pub(super) async fn locked(session: &Session, left_out: &[Uuid]) -> anyhow::Result<Vec<Untouched>> {
    if left_out.is_empty() {
        return Ok(Vec::new());
    }
    let there: HashSet<Uuid> =
        queries::find_states(session, left_out).await?.into_iter().map(|(id, _)| id).collect();
    let left = left_out.iter().copied().filter(|id| there.contains(id));
    let mut locked: Vec<Untouched> = left.map(|id| Untouched::new(id, Why::Locked)).collect();
    name_holders(session, &mut locked).await?;
    Ok(locked)
}

async fn name_holders(session: &Session, untouched: &mut [Untouched]) -> anyhow::Result<()> {
    let locked = untouched.iter().filter(|event| event.why == Why::Locked);
    let locked: Vec<Uuid> = locked.map(|event| event.event_id).collect();
    if locked.is_empty() {
        return Ok(());
    }
    let mut holders = holders::of(session, &locked).await?;
    for event in untouched {
        event.locked_by = holders.remove(&event.event_id).unwrap_or_default();
    }
    Ok(())
}

//! Settles events: writes their outcomes into their rows, with one statement for the published ones
//! and one for the failed ones.
//!
//! A statement leaves out rows that another session has locked. A row that the database refuses to
//! change (a trigger, a foreign key, an encoding) makes the statement fail, and is found by halving
//! the batch. Both become [`unsettled`], so that all others are settled.
//!
//! | file | what is in it |
//! |---|---|
//! | `batch` | outcomes that are to be written |
//! | `schedule` | when they are |
//! | `unsettled` | those that can't be written for now |
//! | `unsettled_events` | all of these, and when they are tried again |

pub(crate) mod batch;
pub(crate) mod schedule;
pub(crate) mod unsettled;
pub(crate) mod unsettled_events;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::database::queries::{self, NotSettled, SettleTimeout};
use crate::database::{DatabaseError, SettleSession};
use crate::queue::EventRef;
use batch::{SettleAction, SettleBatch, SettleItem};
use unsettled::{SettleError, UnsettledEvent};

/// What came of a [`SettleBatch`].
#[derive(Debug)]
pub(crate) struct SettleResult {
    /// Events that are settled, or no longer pending, as another session changed them.
    pub(crate) event_refs: Vec<EventRef>,
    /// Whether a failed event is among the latter: nothing holds back those behind it.
    pub(crate) freed: bool,
    /// Events whose rows can't be changed for now.
    pub(crate) unsettled: Vec<UnsettledEvent>,
    /// What was not tried, as nothing can be settled at all.
    pub(crate) untried: SettleBatch,
    /// The same of events that were unsettled before.
    pub(crate) untried_retries: Vec<UnsettledEvent>,
    pub(crate) result: Result<(), DatabaseError>,
}

/// Settles `batch`. Published events are marked or deleted, as `published` says.
pub(crate) async fn settle(
    session: Arc<SettleSession>,
    batch: SettleBatch,
    published: SettleAction,
) -> SettleResult {
    settle_batch(&session, batch, published, &[]).await
}

/// Tries again to settle events that could not be settled, and deletes the rows of
/// `outbox_unsettled` about those that can.
pub(crate) async fn settle_again(
    session: Arc<SettleSession>,
    events: Vec<UnsettledEvent>,
    published: SettleAction,
) -> SettleResult {
    let mut batch = SettleBatch::default();
    for event in &events {
        batch.add(event.item.clone());
    }
    let mut settled = settle_batch(&session, batch, published, &events).await;
    let SettleBatch { published, failed } = std::mem::take(&mut settled.untried);
    let untried: HashSet<i64> =
        published.iter().chain(&failed).map(|item| item.event_ref.id).collect();
    settled.untried_retries =
        events.into_iter().filter(|event| untried.contains(&event.item.event_ref.id)).collect();
    settled
}

async fn settle_batch(
    session: &SettleSession,
    batch: SettleBatch,
    published_action: SettleAction,
    known: &[UnsettledEvent],
) -> SettleResult {
    let mut settled = SettleResult {
        event_refs: Vec::with_capacity(batch.len()),
        freed: false,
        unsettled: Vec::new(),
        untried: SettleBatch::default(),
        untried_retries: Vec::new(),
        result: Ok(()),
    };
    let SettleBatch { published, failed } = batch;
    let are_noted = known.iter().any(|event| event.is_noted);
    settle_by_halving(session, published_action, published, are_noted, &mut settled).await;
    settle_by_halving(session, SettleAction::RecordFailure, failed, are_noted, &mut settled).await;
    note_unsettled(session, &mut settled.unsettled, known).await;
    settled
}

/// Settles `items`. While the database refuses a part of them, each half is tried by itself.
async fn settle_by_halving(
    session: &SettleSession,
    action: SettleAction,
    items: Vec<SettleItem>,
    are_noted: bool,
    settled: &mut SettleResult,
) {
    let mut parts = vec![items];
    let mut can_settle = false;
    while let Some(mut part) = parts.pop() {
        if settled.result.is_err() {
            part.into_iter().for_each(|item| settled.untried.add(item));
            continue;
        }
        if part.is_empty() {
            continue;
        }
        let error = match execute(session, action, &part, are_noted).await {
            Ok(answers) => {
                classify(part, &answers, settled);
                continue;
            }
            Err(error) => error,
        };
        // Because of one row, or of any? Asked once: the answer holds for every part.
        if !can_settle {
            settled.result = if error.is_over_a_row() {
                queries::probe_settling(session, action).await
            } else {
                Err(error.of_settling())
            };
            can_settle = settled.result.is_ok();
            // Tried once more as it is, with a shorter limit: it may have been a lock that is gone
            // by now.
            parts.push(part);
            continue;
        }
        if part.len() > 1 {
            let half = part.split_off(part.len() / 2);
            parts.push(half);
            parts.push(part);
            continue;
        }
        settle_refused(session, action, part, are_noted, error, settled).await;
    }
    if can_settle {
        let restored = queries::set_settle_timeout(session, SettleTimeout::Normal).await;
        if settled.result.is_ok() {
            settled.result = restored;
        }
    }
}

/// Handles a single event that the database refuses to settle. One that can't be deleted may still
/// be marked.
async fn settle_refused(
    session: &SettleSession,
    action: SettleAction,
    part: Vec<SettleItem>,
    are_noted: bool,
    error: DatabaseError,
    settled: &mut SettleResult,
) {
    if !error.is_refusal() {
        part.into_iter().for_each(|item| settled.untried.add(item));
        settled.result = Err(error);
        return;
    }
    if action == SettleAction::DeletePublished
        && let Ok(answers) = execute(session, SettleAction::MarkPublished, &part, are_noted).await
    {
        classify(part, &answers, settled);
        return;
    }
    let error = SettleError::Refused(error.to_string());
    settled.unsettled.extend(part.into_iter().map(|item| UnsettledEvent::new(item, error.clone())));
}

/// Runs the statement, together with the one that deletes what `outbox_unsettled` says of the
/// events, if `are_noted`.
async fn execute(
    session: &SettleSession,
    action: SettleAction,
    items: &[SettleItem],
    are_noted: bool,
) -> Result<HashMap<i64, NotSettled>, DatabaseError> {
    if !are_noted {
        return queries::settle(session, action, items).await;
    }
    // In one transaction: a row of `outbox_unsettled` that outlives the settling keeps a person
    // from having the event published again.
    session.session.begin().await?;
    let settled = async {
        let answers = queries::settle(session, action, items).await?;
        let is_done = |item: &&SettleItem| {
            matches!(answers.get(&item.event_ref.id), None | Some(NotSettled::Gone))
        };
        let event_ids: Vec<_> = items.iter().filter(is_done).map(|item| item.event_id).collect();
        queries::forget_unsettled(session, &event_ids).await?;
        Ok(answers)
    };
    let settled = settled.await;
    match &settled {
        Ok(_) => session.session.commit().await?,
        Err(_) => session.session.rollback().await?,
    }
    settled
}

/// Sorts `items` into `settled`; `not_settled` are those that the statement did not settle.
pub(crate) fn classify(
    items: Vec<SettleItem>,
    not_settled: &HashMap<i64, NotSettled>,
    settled: &mut SettleResult,
) {
    for item in items {
        let error = match not_settled.get(&item.event_ref.id) {
            Some(NotSettled::Locked) => SettleError::Locked,
            Some(NotSettled::Unchanged) => SettleError::unchanged(),
            gone => {
                settled.freed |= gone.is_some() && item.failure.is_some();
                settled.event_refs.push(item.event_ref);
                continue;
            }
        };
        settled.unsettled.push(UnsettledEvent::new(item, error));
    }
}

/// Writes confirmed events into `outbox_unsettled`, unless `known`, which is what was known of them
/// before, says that they are there.
async fn note_unsettled(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::ErrorKind;
    use crate::settle::batch::Failure;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_event_is_settled_or_unsettled(ids in prop::collection::btree_set(0..50_i64, 0..20), answers: [u8; 50], failed: u64) {
            let items: Vec<SettleItem> = ids.iter().map(|&id| SettleItem {
                event_ref: EventRef { id, key: 7, size: 1 },
                event_id: Uuid::nil(),
                attempts: 0,
                failure: (failed & 1 << id != 0).then(|| Failure { kind: ErrorKind::Returned, reason: String::new(), retry_in: None }),
            }).collect();
            let kinds = [None, Some(NotSettled::Gone), Some(NotSettled::Locked), Some(NotSettled::Unchanged)];
            let answer = |id: i64| kinds[usize::from(answers[usize::try_from(id).expect("below 50")] % 4)];
            let all: HashMap<i64, NotSettled> = ids.iter().filter_map(|&id| Some((id, answer(id)?))).collect();
            let mut settled = SettleResult {
                event_refs: Vec::new(),
                freed: false,
                unsettled: Vec::new(),
                untried: SettleBatch::default(),
                untried_retries: Vec::new(),
                result: Ok(()),
            };
            classify(items, &all, &mut settled);
            prop_assert!(settled.event_refs.iter().all(|event_ref| matches!(answer(event_ref.id), None | Some(NotSettled::Gone))));
            prop_assert_eq!(settled.event_refs.len() + settled.unsettled.len(), ids.len());
            let freed = ids.iter().any(|&id| answer(id) == Some(NotSettled::Gone) && failed & 1 << id != 0);
            prop_assert_eq!(settled.freed, freed);
        }
    }
}

//! Notes in the outbox what became of events: one statement for the published, one for the failed, each of which takes what it can
//! get. A row that somebody has locked is left out by the statement. A row that the database refuses to change (a trigger, a foreign
//! key, an encoding) makes the statement fail, and is found by halving. Both are set aside, so that all others are settled.

pub(crate) mod batch;
pub(crate) mod schedule;
pub(crate) mod unsettled;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use self::batch::{Item, Settlement};
use self::unsettled::{Hindrance, Unsettled};
use crate::database::queries::{self, Answer};
use crate::database::{DatabaseError, SettleSession};
use crate::queue::Place;

/// What came of noting a settlement.
#[derive(Debug)]
pub(crate) struct Settled {
    /// Events of which nothing has to be noted any more.
    pub(crate) places: Vec<Place>,
    /// An event that failed is not pending any more, by somebody else's doing: nothing holds back those behind it.
    pub(crate) freed: bool,
    /// Events whose rows can't be changed for now.
    pub(crate) unsettled: Vec<Unsettled>,
    /// What was not tried, as nothing can be noted at all.
    pub(crate) left: Settlement,
    /// The same of events that could not be settled before.
    pub(crate) untried: Vec<Unsettled>,
    pub(crate) result: Result<(), DatabaseError>,
}

/// How outcomes are noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Published events are marked.
    Mark,
    /// Published events are deleted.
    Delete,
    /// Failed attempts are written down.
    Fail,
}

/// Notes `settlement`; `keep`: published events stay in the table.
pub(crate) async fn settle(
    session: Arc<SettleSession>,
    settlement: Settlement,
    keep: bool,
) -> Settled {
    run(&session, settlement, keep, &[]).await
}

/// Tries again to note the outcome of events that could not be settled, and takes back the notes on those that can.
pub(crate) async fn settle_again(
    session: Arc<SettleSession>,
    hindered: Vec<Unsettled>,
    keep: bool,
) -> Settled {
    let mut settlement = Settlement::default();
    for one in &hindered {
        settlement.add(one.item.clone());
    }
    let mut settled = run(&session, settlement, keep, &hindered).await;
    let Settlement { published, failed } = std::mem::take(&mut settled.left);
    let untried: HashSet<i64> = published.iter().chain(&failed).map(|item| item.place.id).collect();
    settled.untried =
        hindered.into_iter().filter(|one| untried.contains(&one.item.place.id)).collect();
    settled
}

async fn run(
    session: &SettleSession,
    settlement: Settlement,
    keep: bool,
    known: &[Unsettled],
) -> Settled {
    let mut settled = Settled {
        places: Vec::with_capacity(settlement.len()),
        freed: false,
        unsettled: Vec::new(),
        left: Settlement::default(),
        untried: Vec::new(),
        result: Ok(()),
    };
    let Settlement { published, failed } = settlement;
    let manner = if keep { Manner::Mark } else { Manner::Delete };
    let has_notes = known.iter().any(|one| one.is_noted);
    search(session, manner, published, has_notes, &mut settled).await;
    search(session, Manner::Fail, failed, has_notes, &mut settled).await;
    unsettled::note(session, &mut settled.unsettled, known).await;
    settled
}

/// Notes the outcomes of `items`. While the database refuses a piece of them, each half is tried by itself.
async fn search(
    session: &SettleSession,
    manner: Manner,
    items: Vec<Item>,
    has_notes: bool,
    settled: &mut Settled,
) {
    let mut pieces = vec![items];
    let mut is_able = false;
    while let Some(mut piece) = pieces.pop() {
        if settled.result.is_err() {
            piece.into_iter().for_each(|item| settled.left.add(item));
            continue;
        }
        if piece.is_empty() {
            continue;
        }
        let error = match attempt(session, manner, &piece, has_notes).await {
            Ok(answers) => {
                sort_out(piece, &answers, settled);
                continue;
            }
            Err(error) => error,
        };
        // Over one row, or over any? Asked once: what is true of one piece is true of the next.
        if !is_able {
            settled.result = if error.is_over_a_row() {
                queries::probe_settling(session, manner).await
            } else {
                Err(error.of_settling())
            };
            is_able = settled.result.is_ok();
            // Tried as it is once more, with a shorter limit: it may have been a lock that is gone by now.
            pieces.push(piece);
            continue;
        }
        if piece.len() > 1 {
            let half = piece.split_off(piece.len() / 2);
            pieces.push(half);
            pieces.push(piece);
            continue;
        }
        refused(session, manner, piece, has_notes, error, settled).await;
    }
    if is_able {
        let restored = queries::hurry_settling(session, false).await;
        if settled.result.is_ok() {
            settled.result = restored;
        }
    }
}

/// A single event that the database refuses to settle. What can't be deleted may still be marked.
async fn refused(
    session: &SettleSession,
    manner: Manner,
    piece: Vec<Item>,
    has_notes: bool,
    error: DatabaseError,
    settled: &mut Settled,
) {
    if !error.is_refusal() {
        piece.into_iter().for_each(|item| settled.left.add(item));
        settled.result = Err(error);
        return;
    }
    if manner == Manner::Delete
        && let Ok(answers) = attempt(session, Manner::Mark, &piece, has_notes).await
    {
        sort_out(piece, &answers, settled);
        return;
    }
    let hindrance = Hindrance::Refused(error.to_string());
    settled.unsettled.extend(piece.into_iter().map(|item| Unsettled::new(item, hindrance.clone())));
}

async fn attempt(
    session: &SettleSession,
    manner: Manner,
    items: &[Item],
    has_notes: bool,
) -> Result<HashMap<i64, Answer>, DatabaseError> {
    if !has_notes {
        return queries::settle(session, manner, items).await;
    }
    // A note that outlived its event's settling would keep a person from having it published again.
    session.session.begin().await?;
    let settled = async {
        let answers = queries::settle(session, manner, items).await?;
        let is_done =
            |item: &&Item| matches!(answers.get(&item.place.id), None | Some(Answer::Gone));
        let event_ids: Vec<_> = items.iter().filter(is_done).map(|item| item.event_id).collect();
        queries::forget_unsettled(session, &event_ids).await?;
        Ok(answers)
    };
    let settled = settled.await;
    session.session.end(settled.is_ok()).await?;
    settled
}

/// Sorts `items` into `settled` by what the statement answered of them.
pub(crate) fn sort_out(items: Vec<Item>, answers: &HashMap<i64, Answer>, settled: &mut Settled) {
    for item in items {
        let hindrance = match answers.get(&item.place.id) {
            Some(Answer::Locked) => Hindrance::Locked,
            Some(Answer::Unchanged) => Hindrance::unchanged(),
            gone => {
                settled.freed |= gone.is_some() && item.failure.is_some();
                settled.places.push(item.place);
                continue;
            }
        };
        settled.unsettled.push(Unsettled::new(item, hindrance));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use self::batch::Failure;
    use super::*;

    proptest! {
        #[test]
        fn every_event_is_settled_or_set_aside(ids in prop::collection::btree_set(0..50_i64, 0..20), answers: [u8; 50], failed: u64) {
            let items: Vec<Item> = ids.iter().map(|&id| Item {
                place: Place { id, key: 7, size: 1 },
                event_id: Uuid::nil(),
                attempts: 0,
                failure: (failed & 1 << id != 0).then(|| Failure { reason: String::new(), retry_in: None }),
            }).collect();
            let kinds = [None, Some(Answer::Gone), Some(Answer::Locked), Some(Answer::Unchanged)];
            let answer = |id: i64| kinds[usize::from(answers[usize::try_from(id).expect("below 50")] % 4)];
            let all: HashMap<i64, Answer> = ids.iter().filter_map(|&id| Some((id, answer(id)?))).collect();
            let mut settled = Settled {
                places: Vec::new(), freed: false, unsettled: Vec::new(), left: Settlement::default(), untried: Vec::new(), result: Ok(()),
            };
            sort_out(items, &all, &mut settled);
            prop_assert!(settled.places.iter().all(|place| matches!(answer(place.id), None | Some(Answer::Gone))));
            prop_assert_eq!(settled.places.len() + settled.unsettled.len(), ids.len());
            let freed = ids.iter().any(|&id| answer(id) == Some(Answer::Gone) && failed & 1 << id != 0);
            prop_assert_eq!(settled.freed, freed);
        }
    }
}

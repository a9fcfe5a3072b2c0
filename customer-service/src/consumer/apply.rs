//! Applies the events of a batch: as one transaction, or, when one of them is refused, held up or takes too long, in
//! parts until that one stands alone.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use service_kit::backoff::Backoff;
use uuid::Uuid;

use super::event::OrderCreated;
use super::fault::Fault;
use super::ledger::{Ledger, Outcome};

/// How many times a transaction that met another one is tried before the database counts as unusable.
const CONFLICTS: u32 = 20;

/// Events in a transaction at the most.
pub(super) const LARGEST_PART: usize = 1 << 16;

/// Applies `events`; says what became of each `event_id`. When one stands in it several times the first is taken.
///
/// # Errors
/// With the reason when the database can't be used. Parts may have been committed: those events will be found to be duplicates.
pub(super) async fn apply(
    ledger: &mut Ledger,
    events: impl IntoIterator<Item = OrderCreated>,
) -> Result<HashMap<Uuid, Outcome>, String> {
    let mut firsts = BTreeMap::new();
    for event in events {
        firsts.entry(event.event_id).or_insert(event);
    }
    let events: Vec<OrderCreated> = firsts.into_values().collect();
    let mut parts: Vec<Vec<OrderCreated>> =
        events.chunks(ledger.part_size).map(<[_]>::to_vec).collect();
    parts.reverse();
    let mut outcomes = HashMap::with_capacity(events.len());
    while let Some(part) = parts.pop() {
        match count_despite_conflicts(ledger, &part).await {
            Ok(counted) => {
                ledger.part_size = ledger.part_size.max(2 * part.len()).min(LARGEST_PART);
                outcomes.extend(counted);
            }
            Err(Fault::Message(reason)) => {
                split(part, Outcome::Refused(reason), &mut parts, &mut outcomes);
            }
            Err(Fault::Locked(reason)) => {
                let locked = ledger.find_locked(&part).await.map_err(Fault::reason)?;
                let (held_up, free): (Vec<_>, Vec<_>) =
                    part.into_iter().partition(|event| locked.contains(&event.customer_id));
                if held_up.is_empty() {
                    // The lock is gone by now, or it is not a customer's.
                    ledger.probe().await?;
                    split(free, Outcome::HeldUp(reason), &mut parts, &mut outcomes);
                    continue;
                }
                outcomes.extend(held_up.iter().map(|event| {
                    let reason = format!("customer {} is locked", event.customer_id);
                    (event.event_id, Outcome::HeldUp(reason))
                }));
                parts.extend(Some(free).filter(|free| !free.is_empty()));
            }
            Err(Fault::TooSlow(reason)) => {
                ledger.probe().await?;
                ledger.part_size = part.len().div_ceil(2);
                split(part, Outcome::HeldUp(reason), &mut parts, &mut outcomes);
            }
            Err(Fault::Database(reason) | Fault::Conflict(reason)) => return Err(reason),
        }
    }
    Ok(outcomes)
}

/// Puts the halves of `part` ahead of the other parts; of an event that stands alone it is known what became of it.
fn split(
    mut part: Vec<OrderCreated>,
    alone: Outcome,
    parts: &mut Vec<Vec<OrderCreated>>,
    outcomes: &mut HashMap<Uuid, Outcome>,
) {
    if let [event] = part.as_slice() {
        outcomes.insert(event.event_id, alone);
        return;
    }
    let right = part.split_off(part.len() / 2);
    parts.extend([right, part]);
}

async fn count_despite_conflicts(
    ledger: &Ledger,
    part: &[OrderCreated],
) -> Result<HashMap<Uuid, Outcome>, Fault> {
    let mut pause = Backoff::new(Duration::from_millis(1), Duration::from_millis(100));
    let mut tries = 1;
    loop {
        match ledger.count(part).await {
            Err(Fault::Conflict(reason)) if tries < CONFLICTS => {
                tracing::debug!(reason, "another transaction was in the way: trying again");
                tries += 1;
                tokio::time::sleep(pause.next_delay()).await;
            }
            result => return result,
        }
    }
}

//! Applies the events of a batch: as one transaction, or, when one of them is refused, held up or takes too long, in
//! parts until that one stands alone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use service_kit::backoff::Backoff;
use uuid::Uuid;

use super::event::OrderCreated;
use super::fault::Fault;
use super::ledger::{Ledger, Outcome};

/// How many times a transaction that met another one is tried before the database counts as unusable.
const CONFLICTS: u32 = 20;

/// How long a batch waits for locked customers. Other consumers have them for longer than a transaction waits, where commits are slow.
const LOCKED_LIMIT: Duration = Duration::from_secs(1);

/// Where a transaction takes too long for an event of each of so many customers, and none is counted, it is not the events: the database
/// can't be used.
const TOO_SLOW: usize = 3;

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
    let (slow, others): (Vec<_>, Vec<_>) =
        firsts.into_values().partition(|event| ledger.slow.contains(&event.event_id));
    // The last one is the next: what was too slow before comes when all others are counted, each by itself.
    let mut parts: Vec<Vec<OrderCreated>> = slow.into_iter().map(|event| vec![event]).collect();
    parts.push(others);
    let mut outcomes = HashMap::new();
    let (begun, mut is_any_counted, mut slow_customers) = (Instant::now(), false, HashSet::new());
    while let Some(mut part) = parts.pop() {
        if part.len() > ledger.part_size {
            let rest = part.split_off(ledger.part_size);
            parts.push(rest);
        }
        match count_despite_conflicts(ledger, &part).await {
            Ok(counted) => {
                is_any_counted |= !part.is_empty();
                ledger.fits(&part);
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
                if begun.elapsed() < LOCKED_LIMIT {
                    parts.push(held_up);
                } else {
                    outcomes.extend(held_up.iter().map(|event| {
                        let reason = format!("customer {} is locked", event.customer_id);
                        (event.event_id, Outcome::HeldUp(reason))
                    }));
                }
                parts.extend(Some(free).filter(|free| !free.is_empty()));
            }
            Err(Fault::TooSlow(reason)) => {
                ledger.probe().await?;
                if let [event] = part.as_slice() {
                    slow_customers.insert(event.customer_id);
                    if !is_any_counted && slow_customers.len() == TOO_SLOW {
                        return Err(reason);
                    }
                    ledger.remember_slow(event.event_id);
                    outcomes.insert(event.event_id, Outcome::HeldUp(reason));
                } else {
                    ledger.part_size = part.len().div_ceil(2);
                    parts.push(part);
                }
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

//! Applies the events of a batch: as one transaction, or, when one of them is refused, in parts until that one stands alone.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use service_kit::backoff::Backoff;
use uuid::Uuid;

use super::event::OrderCreated;
use super::fault::Fault;
use super::ledger::{Ledger, Outcome};

/// How many times a transaction that met another one is tried before the database counts as unusable.
const CONFLICTS: u32 = 20;

/// Applies `events`; says what became of each `event_id`. When one stands in it several times the first is taken.
///
/// # Errors
/// With the reason when the database can't be used. Parts may have been committed: those events will be found to be duplicates.
pub(super) async fn apply(
    ledger: &Ledger,
    events: impl IntoIterator<Item = OrderCreated>,
) -> Result<HashMap<Uuid, Outcome>, String> {
    let mut firsts = BTreeMap::new();
    for event in events {
        firsts.entry(event.event_id).or_insert(event);
    }
    let events: Vec<OrderCreated> = firsts.into_values().collect();

    let mut outcomes = HashMap::with_capacity(events.len());
    let mut parts = vec![events.as_slice()];
    while let Some(part) = parts.pop() {
        match count_despite_conflicts(ledger, part).await {
            Ok(counted) => outcomes.extend(counted),
            Err(Fault::Message(reason)) => {
                if let [guilty] = part {
                    outcomes.insert(guilty.event_id, Outcome::Refused(reason));
                } else {
                    let (left, right) = part.split_at(part.len() / 2);
                    parts.extend([right, left]);
                }
            }
            Err(Fault::Database(reason) | Fault::Conflict(reason)) => return Err(reason),
        }
    }
    Ok(outcomes)
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

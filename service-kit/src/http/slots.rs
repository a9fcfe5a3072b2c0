//! Room for so many connections. When there is none, the connection that has been idle for longest makes room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::progress::{Progress, TimeLimits};

/// The connections that have a slot, by numbers that are never used again.
type Taken = Arc<Mutex<HashMap<u64, Arc<Progress>>>>;

/// The slots of a listener.
#[derive(Debug)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    taken: Taken,
    last: u64,
}

/// What a connection holds while it is open.
#[derive(Debug)]
pub(super) struct Slot {
    number: u64,
    taken: Taken,
    #[expect(dead_code, reason = "held while the connection lives")]
    permit: OwnedSemaphorePermit,
}

impl Slots {
    pub(super) fn new(connections: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(connections)), taken: Taken::default(), last: 0 }
    }

    /// A slot for a new connection, once an idle one is closed if need be. None when no connection is idle.
    pub(super) async fn take(&mut self, limits: TimeLimits) -> Option<(Slot, Arc<Progress>)> {
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if self.give_up_longest_idle() => {
                // It closes at once: nothing is under way on it.
                Arc::clone(&self.free).acquire_owned().await.ok()?
            }
            Err(_) => return None,
        };
        self.last += 1;
        let progress = Arc::new(Progress::new(limits));
        lock(&self.taken).insert(self.last, Arc::clone(&progress));
        Some((Slot { number: self.last, taken: Arc::clone(&self.taken), permit }, progress))
    }

    /// Returns false if no connection is idle.
    fn give_up_longest_idle(&self) -> bool {
        let taken = lock(&self.taken);
        let mut idle: Vec<_> = taken
            .values()
            .filter_map(|progress| Some((progress.idle_since()?, progress)))
            .collect();
        idle.sort_by_key(|(since, _)| *since);
        // A request may come meanwhile: then it is the next one.
        idle.into_iter().any(|(_, progress)| progress.give_up())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.taken).remove(&self.number);
    }
}

fn lock(taken: &Taken) -> MutexGuard<'_, HashMap<u64, Arc<Progress>>> {
    // Each change is a single call, so the map is whole even after a panic elsewhere.
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

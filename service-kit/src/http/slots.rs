//! Room for so many connections. When there is none, the connection that has been idle for longest makes room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::progress::{Progress, TimeLimits};

/// The connections that have a slot, by numbers that are never used again.
type OpenConnections = Arc<Mutex<HashMap<u64, Arc<Progress>>>>;

/// The slots of a listener.
#[derive(Debug)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    open: OpenConnections,
    last_id: u64,
}

/// What a connection holds while it is open.
#[derive(Debug)]
pub(super) struct Slot {
    id: u64,
    open: OpenConnections,
    #[expect(dead_code, reason = "held while the connection lives")]
    permit: OwnedSemaphorePermit,
}

impl Slots {
    pub(super) fn new(connections: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(connections)), open: OpenConnections::default(), last_id: 0 }
    }

    /// A slot for a new connection, once an idle one is closed if need be. None when no connection is idle.
    pub(super) async fn acquire(&mut self, limits: TimeLimits) -> Option<(Slot, Arc<Progress>)> {
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if self.evict_longest_idle() => {
                // It closes at once: nothing is under way on it.
                Arc::clone(&self.free).acquire_owned().await.ok()?
            }
            Err(_) => return None,
        };
        self.last_id += 1;
        let progress = Arc::new(Progress::new(limits));
        lock(&self.open).insert(self.last_id, Arc::clone(&progress));
        Some((Slot { id: self.last_id, open: Arc::clone(&self.open), permit }, progress))
    }

    /// Returns false if no connection is idle.
    fn evict_longest_idle(&self) -> bool {
        let open = lock(&self.open);
        let mut idle: Vec<_> = open
            .values()
            .filter_map(|progress| Some((progress.idle_since()?, progress)))
            .collect();
        idle.sort_by_key(|(since, _)| *since);
        // A request may come meanwhile: then it is the next one.
        idle.into_iter().any(|(_, progress)| progress.evict())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.open).remove(&self.id);
    }
}

fn lock(open: &OpenConnections) -> MutexGuard<'_, HashMap<u64, Arc<Progress>>> {
    // Each change is a single call, so the map is whole even after a panic elsewhere.
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

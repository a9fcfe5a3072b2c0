//! A bounded number of connections. If all slots are taken, the longest idle connection is evicted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::progress::{Progress, TimeLimits};

/// The connections that have a slot, by ids that are never reused.
type OpenConnections = Arc<Mutex<HashMap<u64, Arc<Progress>>>>;

/// The slots of a listener.
#[derive(Debug)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    open: OpenConnections,
    last_id: u64,
}

/// Held by a connection while it is open.
#[derive(Debug)]
pub(super) struct Slot {
    id: u64,
    open: OpenConnections,
    #[expect(dead_code, reason = "held while the connection lives")]
    permit: OwnedSemaphorePermit,
}

impl Slots {
    pub(super) fn new(connections: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(connections)),
            open: OpenConnections::default(),
            last_id: 0,
        }
    }

    /// Returns a slot for a new connection, after evicting an idle one if necessary, or `None` if
    /// no connection is idle.
    pub(super) async fn acquire(&mut self, limits: TimeLimits) -> Option<(Slot, Arc<Progress>)> {
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if self.evict_longest_idle() => {
                // The evicted connection closes at once: nothing is in flight on it.
                Arc::clone(&self.free).acquire_owned().await.ok()?
            }
            Err(_) => return None,
        };
        self.last_id += 1;
        let progress = Arc::new(Progress::new(limits));
        lock(&self.open).insert(self.last_id, Arc::clone(&progress));
        Some((Slot { id: self.last_id, open: Arc::clone(&self.open), permit }, progress))
    }

    /// Evicts the longest idle connection. Returns false if no connection is idle.
    fn evict_longest_idle(&self) -> bool {
        let open = lock(&self.open);
        let mut idle: Vec<_> =
            open.values().filter_map(|progress| Some((progress.idle_since()?, progress))).collect();
        idle.sort_by_key(|(since, _)| *since);
        // If a request arrives meanwhile, the next connection is tried.
        idle.into_iter().any(|(_, progress)| progress.evict())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.open).remove(&self.id);
    }
}

fn lock(open: &OpenConnections) -> MutexGuard<'_, HashMap<u64, Arc<Progress>>> {
    // Each change is a single call, so the map is consistent even after a panic elsewhere.
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

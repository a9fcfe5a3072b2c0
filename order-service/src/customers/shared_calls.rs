//! Shared calls: concurrent lookups of one customer wait for the same call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::lookup::TimedLookup;
use crate::domain::CustomerId;

/// A call that any number of requests may wait for; `None` if its task panicked or was
/// aborted.
pub(super) type SharedCall = Shared<BoxFuture<'static, Option<TimedLookup>>>;

/// The calls that are in flight or wait for a permit. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct SharedCalls {
    calls: Arc<Mutex<HashMap<CustomerId, SharedCall>>>,
    capacity: usize,
}

/// What [`SharedCalls::join`] returns.
pub(super) enum Joined {
    /// A call that was started for this caller.
    New(SharedCall),
    /// A call that was there already.
    Existing(SharedCall),
    /// No call: the limit is reached.
    Full,
}

/// A call's entry in the map, removed when the call ends or panics.
struct Entry {
    calls: SharedCalls,
    id: CustomerId,
}

impl SharedCalls {
    /// At most `capacity` concurrent calls.
    pub(super) fn new(capacity: usize) -> Self {
        Self { calls: Arc::default(), capacity }
    }

    /// Returns the call for `id`: the one that is there, else `begin`'s future, spawned as a task
    /// that continues when its callers are gone.
    pub(super) fn join<F>(&self, id: CustomerId, begin: impl FnOnce() -> F) -> Joined
    where
        F: Future<Output = TimedLookup> + Send + 'static,
    {
        let mut calls = self.lock();
        if let Some(call) = calls.get(&id) {
            return Joined::Existing(call.clone());
        }
        if calls.len() >= self.capacity {
            return Joined::Full;
        }
        let entry = Entry { calls: self.clone(), id };
        let call = begin();
        let task = async move {
            let _entry = entry;
            call.await
        };
        let task = AbortOnDropHandle::new(tokio::spawn(task.in_current_span()));
        let call = task.map(Result::ok).boxed().shared();
        calls.insert(id, call.clone());
        Joined::New(call)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CustomerId, SharedCall>> {
        // Every change is a single insertion or removal, so the map is consistent even after a
        // panic.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let ended = self.calls.lock().remove(&self.id);
        // Dropped after the lock is released.
        drop(ended);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::sync::oneshot;
    use tokio::time::timeout;
    use uuid::Uuid;

    use super::super::lookup::Lookup;
    use super::*;

    const JUAN: CustomerId = CustomerId(Uuid::nil());
    const MARIA: CustomerId = CustomerId(Uuid::max());

    async fn unknown() -> TimedLookup {
        TimedLookup { lookup: Lookup::Unknown, asked: Instant::now() }
    }

    /// A call that lasts until the test ends it.
    fn held() -> (oneshot::Sender<()>, impl Future<Output = TimedLookup>) {
        let (end, ended) = oneshot::channel();
        (end, async {
            ended.await.expect("the test ends it");
            unknown().await
        })
    }

    fn new(joined: Joined) -> SharedCall {
        match joined {
            Joined::New(call) => call,
            Joined::Existing(_) | Joined::Full => panic!("no new call"),
        }
    }

    #[tokio::test]
    async fn all_callers_share_the_first_ones_call_also_when_that_one_leaves() {
        let calls = SharedCalls::new(2);
        let (end, call) = held();
        let first = new(calls.join(JUAN, || call));
        let Joined::Existing(second) = calls.join(JUAN, unknown) else {
            panic!("not shared");
        };
        drop(first);
        end.send(()).expect("the call goes on");
        assert_eq!(second.await.expect("an outcome").lookup, Lookup::Unknown);
        new(calls.join(JUAN, unknown)).await.expect("the next call has an outcome");
    }

    #[tokio::test]
    async fn a_call_without_callers_goes_on_and_makes_room_when_it_ends() {
        let calls = SharedCalls::new(1);
        let (end, call) = held();
        drop(new(calls.join(JUAN, || call)));
        assert!(matches!(calls.join(MARIA, unknown), Joined::Full));
        end.send(()).expect("the call goes on");
        let ended = async {
            while !calls.lock().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(60), ended).await.expect("the call ends");
        new(calls.join(MARIA, unknown)).await.expect("there is room");
    }

    #[tokio::test]
    async fn a_call_that_panics_ends_for_all_its_callers() {
        let calls = SharedCalls::new(1);
        let (end, call) = held();
        let first = new(calls.join(JUAN, || call));
        drop(end);
        assert!(first.await.is_none());
        new(calls.join(JUAN, unknown)).await.expect("the next call has an outcome");
    }
}

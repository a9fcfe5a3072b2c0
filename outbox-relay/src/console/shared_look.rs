//! What many people look at, read once for all of them.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex;

use super::pages::NoPage;

/// How long a look is good for: that of the figures beside it.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// How long a look that failed is: long enough for those who waited for it, who would otherwise
/// each read again, one after the other.
const FAILURE_GOOD_FOR: Duration = Duration::from_secs(2);

/// The latest look, and how it ended.
#[derive(Debug)]
pub(super) struct SharedLook<E = NoPage> {
    latest: Mutex<Option<(Instant, Result<Value, E>)>>,
}

impl<E> Default for SharedLook<E> {
    fn default() -> Self {
        Self { latest: Mutex::default() }
    }
}

impl<E: Clone> SharedLook<E> {
    /// Returns the latest look, or that of `read` if it is old. Who comes meanwhile waits for it,
    /// and shares it also if it fails.
    pub(super) async fn get(
        &self,
        read: impl Future<Output = Result<Value, E>>,
    ) -> Result<Value, E> {
        let mut latest = self.latest.lock().await;
        if let Some((at, look)) = latest.as_ref() {
            let good_for = if look.is_ok() { GOOD_FOR } else { FAILURE_GOOD_FOR };
            if at.elapsed() < good_for {
                return look.clone();
            }
        }
        let look = read.await;
        *latest = Some((Instant::now(), look.clone()));
        look
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn those_who_look_at_once_share_one_look_also_if_it_fails() {
        let (look, reads) = (SharedLook::default(), AtomicU64::new(0));
        let read = async |fails: bool| {
            let number = reads.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            if fails { Err("locked") } else { Ok(Value::from(number)) }
        };
        let (one, other) = tokio::join!(look.get(read(true)), look.get(read(true)));
        assert_eq!((one, other), (Err("locked"), Err("locked")));
        assert_eq!(look.get(read(false)).await, Err("locked"));
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        let failed_at = Instant::now().checked_sub(FAILURE_GOOD_FOR).unwrap_or_else(Instant::now);
        *look.latest.lock().await = Some((failed_at, Err("locked")));
        let (one, other) = tokio::join!(look.get(read(false)), look.get(read(false)));
        assert_eq!((one, other), (Ok(Value::from(1)), Ok(Value::from(1))));
        assert_eq!(reads.load(Ordering::Relaxed), 2);
    }
}

//! What many people look at, read once for all of them.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex;

/// How long a look is good for: that of the figures beside it.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// The latest look.
#[derive(Debug, Default)]
pub(super) struct SharedLook {
    latest: Mutex<Option<(Instant, Value)>>,
}

impl SharedLook {
    /// Returns the latest look, or that of `read` if it is old. Who comes meanwhile waits for it. A
    /// look that fails is shown to the one who read, and the next one reads again.
    pub(super) async fn get<E>(
        &self,
        read: impl Future<Output = Result<Value, E>>,
    ) -> Result<Value, E> {
        let mut latest = self.latest.lock().await;
        if let Some((at, value)) = latest.as_ref()
            && at.elapsed() < GOOD_FOR
        {
            return Ok(value.clone());
        }
        let value = read.await?;
        *latest = Some((Instant::now(), value.clone()));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn those_who_look_at_once_share_one_look_and_a_failure_is_not_kept() {
        let (look, reads) = (SharedLook::default(), AtomicU64::new(0));
        let read = async |fails: bool| {
            let number = reads.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            if fails { Err("locked") } else { Ok(Value::from(number)) }
        };
        assert_eq!(look.get(read(true)).await, Err("locked"));
        let (one, other) = tokio::join!(look.get(read(false)), look.get(read(false)));
        assert_eq!((one, other), (Ok(Value::from(1)), Ok(Value::from(1))));
        assert_eq!(reads.load(Ordering::Relaxed), 2);
    }
}

//! What many people look at, read once for all of them.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex;

use super::pages::NoPage;

/// How long a look that failed is good for: long enough for those who waited for it, who would
/// otherwise each read again, one after the other.
const FAILURE_GOOD_FOR: Duration = Duration::from_secs(2);

/// A look that has ended.
#[derive(Debug)]
struct Look<E> {
    /// The sample beside which it was taken.
    sample: u64,
    ended_at: Instant,
    value: Result<Value, E>,
}

/// The latest look.
#[derive(Debug)]
pub(super) struct SharedLook<E = NoPage> {
    latest: Mutex<Option<Look<E>>>,
}

impl<E> Default for SharedLook<E> {
    fn default() -> Self {
        Self { latest: Mutex::default() }
    }
}

impl<E: Clone> SharedLook<E> {
    /// Returns the latest look if it was taken beside the sample with this number, as the figures
    /// that it is shown with were; otherwise that of `read`. Who comes meanwhile waits for it, and
    /// shares it also if it fails.
    pub(super) async fn get(
        &self,
        sample: u64,
        read: impl Future<Output = Result<Value, E>>,
    ) -> Result<Value, E> {
        let mut latest = self.latest.lock().await;
        if let Some(look) = latest.as_ref().filter(|look| look.sample == sample)
            && (look.value.is_ok() || look.ended_at.elapsed() < FAILURE_GOOD_FOR)
        {
            return look.value.clone();
        }
        let value = read.await;
        *latest = Some(Look { sample, ended_at: Instant::now(), value: value.clone() });
        value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn those_who_look_beside_one_sample_share_one_look_also_if_it_fails() {
        let (look, reads) = (SharedLook::default(), AtomicU64::new(0));
        let read = async |fails: bool| {
            let number = reads.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            if fails { Err("locked") } else { Ok(Value::from(number)) }
        };
        let (one, other) = tokio::join!(look.get(1, read(true)), look.get(1, read(true)));
        assert_eq!((one, other), (Err("locked"), Err("locked")));
        assert_eq!(look.get(1, read(false)).await, Err("locked"));
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        if let Some(look) = look.latest.lock().await.as_mut() {
            look.ended_at =
                look.ended_at.checked_sub(FAILURE_GOOD_FOR).expect("a machine's uptime");
        }
        let (one, other) = tokio::join!(look.get(1, read(false)), look.get(1, read(false)));
        assert_eq!((one, other), (Ok(Value::from(1)), Ok(Value::from(1))));
        assert_eq!(reads.load(Ordering::Relaxed), 2);
        assert_eq!(look.get(2, read(false)).await, Ok(Value::from(2)), "beside the next sample");
    }
}

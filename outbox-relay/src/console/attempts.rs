//! Limits the attempts to log in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many wrong secrets an address may send in [`WINDOW`].
const LIMIT: u32 = 10;

/// How long wrong secrets count.
const WINDOW: Duration = Duration::from_secs(60);

/// How many addresses are remembered.
const ADDRESSES: usize = 10_000;

/// The wrong attempts of each address.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    wrong: Mutex<HashMap<IpAddr, Wrong>>,
}

#[derive(Debug, Clone, Copy)]
struct Wrong {
    since: Instant,
    count: u32,
}

impl Attempts {
    /// Returns how long an address must wait that has tried too often.
    pub(super) fn must_wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let wrong = wrong.get(&address).filter(|wrong| wrong.count >= LIMIT)?;
        WINDOW.checked_sub(now.duration_since(wrong.since)).filter(|left| !left.is_zero())
    }

    /// Notes a wrong attempt.
    pub(super) fn note_wrong(&self, address: IpAddr, now: Instant) {
        let mut all = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ADDRESSES {
            all.retain(|_, wrong| now.duration_since(wrong.since) < WINDOW);
            if all.len() >= ADDRESSES {
                // From so many addresses at once it is an attack whatever is remembered.
                all.clear();
            }
        }
        let wrong = all.entry(address).or_insert(Wrong { since: now, count: 0 });
        if now.duration_since(wrong.since) >= WINDOW {
            *wrong = Wrong { since: now, count: 0 };
        }
        wrong.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_ten_wrong_attempts_an_address_waits_and_no_other_does() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for _ in 0..9 {
            attempts.note_wrong(one, start);
        }
        assert_eq!(attempts.must_wait(one, start), None);
        attempts.note_wrong(one, start);
        assert_eq!(attempts.must_wait(one, start), Some(WINDOW));
        assert_eq!(attempts.must_wait(other, start), None);
        let later = start + WINDOW;
        assert_eq!(attempts.must_wait(one, later), None);
        attempts.note_wrong(one, later);
        assert_eq!(attempts.must_wait(one, later), None, "the old ones no longer count");
    }
}

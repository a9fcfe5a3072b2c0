//! The rate limit of `dead-letters return`.

use std::str::FromStr;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A limit such as `50/s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rate {
    per_second: f64,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "it must be a number a second, minute or hour: 50/s, 600/m, 10/h".to_owned();
        let (count, unit) = text.split_once('/').unwrap_or((text, "s"));
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(wrong()),
        };
        let count: u32 = count.trim().parse().map_err(|_| wrong())?;
        if count == 0 {
            return Err(wrong());
        }
        Ok(Self { per_second: f64::from(count) / f64::from(seconds) })
    }
}

/// How much time lost to a delay may be made up for. No more, or the consumer would get everything
/// that an outage held back at once.
const SLACK: Duration = Duration::from_millis(100);

/// Paces the sending of messages to a rate.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Option<Rate>,
    /// When the next message may be sent.
    next_at: Instant,
}

impl Pace {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self { rate, next_at: Instant::now() }
    }

    /// Returns the size of a window: `most`, or at a limited rate the messages of a tenth of a
    /// second if these are fewer.
    pub(super) fn window(&self, most: usize) -> usize {
        let Some(Rate { per_second }) = self.rate else { return most };
        let mut window = 1;
        while window < most
            && f64::from(u32::try_from(window).unwrap_or(u32::MAX)) < per_second / 10.0
        {
            window += 1;
        }
        window
    }

    /// Waits until the next message may be sent.
    pub(super) async fn wait(&self) {
        if self.rate.is_some() {
            sleep_until(self.next_at).await;
        }
    }

    /// Records that `sending` messages are sent now.
    pub(super) fn count(&mut self, sending: usize) {
        self.count_at(sending, Instant::now());
    }

    fn count_at(&mut self, sending: usize, now: Instant) {
        let Some(Rate { per_second }) = self.rate else { return };
        let sending = f64::from(u32::try_from(sending).unwrap_or(u32::MAX));
        let from = self.next_at.max(now.checked_sub(SLACK).unwrap_or(now));
        self.next_at = from + Duration::from_secs_f64(sending / per_second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_a_unit_or_is_a_number_a_second() {
        for (text, per_second) in [("50/s", 50.0), ("50", 50.0), ("600/m", 10.0), ("36/h", 0.01)] {
            assert_eq!(text.parse(), Ok(Rate { per_second }), "{text}");
        }
        for wrong in ["", "0", "0/s", "-1/s", "5/d", "1.5/s", "fast"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn at_a_limited_rate_few_are_sent_at_once() {
        let window = |text: &str| Pace::new(Some(text.parse().expect("a rate"))).window(1000);
        assert_eq!((window("1/h"), window("50/s"), window("100000/s")), (1, 5, 1000));
        assert_eq!(Pace::new(None).window(1000), 1000);
    }

    #[tokio::test]
    async fn each_message_has_its_time() {
        let mut pace = Pace::new(Some("100/s".parse().expect("a rate")));
        let begun = Instant::now();
        for _ in 0..25 {
            pace.wait().await;
            pace.count(1);
        }
        assert!(begun.elapsed() >= Duration::from_millis(140), "{:?}", begun.elapsed());
    }

    #[test]
    fn what_a_delay_held_back_is_not_sent_at_once() {
        let mut pace = Pace::new(Some("10/s".parse().expect("a rate")));
        let later = Instant::now() + Duration::from_secs(60);
        for _ in 0..3 {
            pace.count_at(1, later);
        }
        assert_eq!(pace.next_at - later, Duration::from_millis(200));
    }
}

//! How many messages a second are returned at most.

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

/// Keeps to a rate, from its creation on.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Option<Rate>,
    start: Instant,
    sent: u32,
}

impl Pace {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self { rate, start: Instant::now(), sent: 0 }
    }

    /// Returns how many messages may be sent at once: at most `most`, and at a limited rate those of
    /// a tenth of a second.
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

    /// Waits until the next message may be sent, and counts `sending` messages as sent.
    pub(super) async fn wait(&mut self, sending: usize) {
        let Some(Rate { per_second }) = self.rate else { return };
        sleep_until(self.start + Duration::from_secs_f64(f64::from(self.sent) / per_second)).await;
        self.sent = self.sent.saturating_add(u32::try_from(sending).unwrap_or(u32::MAX));
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
        for _ in 0..5 {
            pace.wait(1).await;
        }
        assert!(pace.start.elapsed() >= Duration::from_millis(40), "{:?}", pace.start.elapsed());
    }
}

//! The loop that deletes what has expired, pass by pass.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How often rows that are kept for `retention` are pruned: ten times in that time, but not more
/// than once a second and at least once in `longest`.
#[must_use]
pub fn pass_interval(retention: Duration, longest: Duration) -> Duration {
    (retention / 10).clamp(Duration::from_secs(1), longest)
}

/// The passes of a program that prunes, until it stops.
#[derive(Debug, Clone, Copy)]
pub struct PrunePasses<'a> {
    /// What is pruned, for the log: "published events", say.
    pub rows: &'static str,
    /// The pause before each pass.
    pub interval: Duration,
    /// Ends the passes. One that has begun is not cut short: it looks at the token itself.
    pub stop: &'a CancellationToken,
}

impl PrunePasses<'_> {
    /// Waits until the next pass is due. Returns false when it is time to stop.
    pub async fn is_due(&self) -> bool {
        !pause(self.interval, self.stop).await
    }

    /// Logs how many rows a pass has deleted. What a failed pass has left is deleted by the next
    /// one.
    pub fn report<E: Display>(&self, pass: Result<u64, E>) {
        match pass {
            Ok(0) => (),
            Ok(deleted) => tracing::info!(deleted, "pruned {}", self.rows),
            // Whether the database can be reached is reported elsewhere.
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "{} could not be pruned: trying again later",
                self.rows
            ),
        }
    }
}

/// Waits. Returns whether it is time to stop.
pub async fn pause(duration: Duration, stop: &CancellationToken) -> bool {
    stop.run_until_cancelled(sleep(duration)).await.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_a_tenth_of_the_retention_within_bounds() {
        let longest = Duration::from_mins(10);
        assert_eq!(pass_interval(Duration::from_secs(600), longest), Duration::from_mins(1));
        assert_eq!(pass_interval(Duration::from_secs(1), longest), Duration::from_secs(1));
        assert_eq!(pass_interval(Duration::from_hours(24 * 365), longest), longest);
    }

    #[tokio::test]
    async fn passes_go_on_after_one_that_failed_and_end_with_stop() {
        let stop = CancellationToken::new();
        let passes = PrunePasses { rows: "rows", interval: Duration::from_millis(1), stop: &stop };
        let mut results = [Err("it is locked"), Ok(0), Ok(7)].into_iter();
        let mut count = 0;
        while passes.is_due().await {
            match results.next() {
                Some(result) => passes.report(result),
                None => stop.cancel(),
            }
            count += 1;
        }
        assert_eq!(count, 4);
    }
}

//! The sweep: looks through the whole table, from below any id, for events that are pending though they have been passed. It finds what
//! the horizon can't know of: ids that were chosen by hand or copied, a sequence that was set back, a row that a person has made pending
//! again. It takes two hundredths of the time at the most: it is frequent where it costs nothing, and rare beside millions of dead index
//! entries.

use std::time::{Duration, Instant};

use crate::database::{DatabaseError, Session};
use crate::inspector::Scope;
use crate::measure;
use crate::queries::{self, Holding, InspectStatements};
use crate::queue::Place;

/// Rows that a statement looks at.
const SLICE: i64 = 2000;

/// For each moment that a statement takes, so many are let pass before the next.
const REST: u32 = 49;

/// The least pause before the next sweep, and before the next slice of one that is under way.
const LEAST: Duration = Duration::from_millis(200);
const LEAST_BETWEEN: Duration = Duration::from_millis(20);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Sweep {
    next: Instant,
    /// Where it goes on, while it is under way.
    at: Option<i64>,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { next: Instant::now() + LEAST, at: None }
    }
}

impl Sweep {
    pub(crate) const fn next(&self) -> Instant {
        self.next
    }

    /// Looks at the next slice of the table. Returns what is pending in it and has been passed.
    pub(crate) async fn slice(
        &mut self,
        session: &Session,
        statements: &InspectStatements,
        Scope { lanes, end }: Scope,
        holding: Holding,
    ) -> Result<Vec<Place>, DatabaseError> {
        let begun = Instant::now();
        let above = self.at.take().unwrap_or(i64::MIN);
        // Should it fail.
        self.next = begun + LONGEST;
        let seen = queries::sweep(session, statements, above, lanes, SLICE, holding).await?;
        measure::looked(seen.rows);
        self.at = seen.reached.filter(|&reached| seen.rows >= SLICE && reached < end);
        let now = Instant::now();
        self.next = now + pause(now - begun, self.at.is_some());
        Ok(seen.places.into_iter().filter(|place| place.id <= end).collect())
    }
}

/// How long to pause after a statement that `took` so long.
fn pause(took: Duration, is_under_way: bool) -> Duration {
    let least = if is_under_way { LEAST_BETWEEN } else { LEAST };
    took.saturating_mul(REST).clamp(least, LONGEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_takes_two_hundredths_of_the_time_up_to_a_pause_of_30_s(
            micros in 0..600_000_u64,
            is_under_way: bool,
        ) {
            let took = Duration::from_micros(micros);
            let pause = pause(took, is_under_way);
            prop_assert!(took * 50 <= took + pause);
            prop_assert!(pause <= LONGEST);
        }
    }

    #[test]
    fn it_is_frequent_where_it_costs_nothing_and_rare_where_it_costs_much() {
        assert_eq!(pause(Duration::from_micros(300), false), Duration::from_millis(200));
        assert_eq!(pause(Duration::from_millis(10), false), Duration::from_millis(490));
        assert_eq!(pause(Duration::from_secs(9), false), Duration::from_secs(30));
        assert_eq!(pause(Duration::from_micros(300), true), Duration::from_millis(20));
    }
}

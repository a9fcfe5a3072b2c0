//! The sweep: scans the whole table for pending events that the scans for new events have passed.
//! It finds what the watermark can't know of: ids that were chosen by hand or copied, a sequence
//! that was set back, a row that a person has made pending again. It runs for at most 2 % of the
//! time: often where it costs nothing, and rarely beside millions of dead index entries.

use std::time::{Duration, Instant};

use crate::database::queries::{self, BlockingPolicy, InspectStatements};
use crate::database::{DatabaseError, Session};
use crate::lanes::LaneSet;
use crate::metrics;
use crate::pauses::PauseSet;
use crate::queue::EventRef;

/// Rows that a statement reads.
const SLICE: i64 = 2000;

/// So many times as long as a statement took is the pause before the next.
const REST: u32 = 49;

/// The shortest and the longest pause before the next sweep.
const LEAST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);

/// The same before the next slice of a sweep. What these leave out is made up for after its last
/// slice.
const LEAST_BETWEEN: Duration = Duration::from_millis(20);
const LONGEST_BETWEEN: Duration = Duration::from_secs(1);

/// What the sweep covers; it changes while one is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) lanes: LaneSet,
    /// Events up to this id have been read by scans.
    pub(crate) end: i64,
    /// What is not to be published for now.
    pub(crate) pauses: PauseSet,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Sweep {
    next: Instant,
    /// The id that the next slice begins above, while a sweep is under way.
    at: Option<i64>,
    rest: Rest,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { next: Instant::now() + LEAST, at: None, rest: Rest::default() }
    }
}

impl Sweep {
    pub(crate) const fn next(&self) -> Instant {
        self.next
    }

    /// Reads the next slice of the table. Returns the pending events in it up to the end of the
    /// scope.
    pub(crate) async fn slice(
        &mut self,
        session: &Session,
        statements: &InspectStatements,
        Scope { lanes, end, pauses }: Scope,
        policy: BlockingPolicy,
    ) -> Result<Vec<EventRef>, DatabaseError> {
        let begun = Instant::now();
        let above = self.at.take().unwrap_or(i64::MIN);
        // In case the statement fails.
        self.next = begun + LONGEST;
        let scanned =
            queries::sweep(session, statements, above, lanes, SLICE, policy, &pauses).await?;
        metrics::rows_read(scanned.rows);
        self.at = scanned.reached.filter(|&reached| scanned.rows >= SLICE && reached < end);
        let now = Instant::now();
        self.next = now + self.rest.after(now - begun, self.at.is_some());
        Ok(scanned.event_refs.into_iter().filter(|event_ref| event_ref.id <= end).collect())
    }
}

/// How long to pause.
#[derive(Debug, Default)]
struct Rest {
    /// The pause that the slices of this sweep have yet to be followed by.
    owed: Duration,
    /// What was owed at the end of the last two.
    before: [Duration; 2],
}

impl Rest {
    /// The pause after a statement that `took` so long. A single slow sweep, on a machine that was
    /// busy, makes the next one no rarer.
    fn after(&mut self, took: Duration, is_under_way: bool) -> Duration {
        self.owed = self.owed.saturating_add(took.saturating_mul(REST));
        if is_under_way {
            let pause = self.owed.clamp(LEAST_BETWEEN, LONGEST_BETWEEN);
            self.owed = self.owed.saturating_sub(pause);
            return pause;
        }
        let owed = std::mem::take(&mut self.owed);
        let least = self.before.into_iter().fold(owed, Duration::min);
        self.before = [self.before[1], owed];
        least.clamp(LEAST, LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sweeps_of_one_kind_take_two_hundredths_of_the_time(
            slices in prop::collection::vec(0..60_u64, 1..10),
        ) {
            let mut rest = Rest::default();
            for sweep in 0..5 {
                let (mut took, mut paused) = (Duration::ZERO, Duration::ZERO);
                for (index, millis) in slices.iter().enumerate() {
                    let slice = Duration::from_millis(*millis);
                    took += slice;
                    paused += rest.after(slice, index + 1 < slices.len());
                }
                prop_assert!(sweep < 2 || took * 50 <= took + paused, "{took:?} {paused:?}");
            }
        }

        #[test]
        fn no_pause_is_longer_than_30_s(took in any::<u32>(), is_under_way: bool) {
            let mut rest = Rest::default();
            for _ in 0..4 {
                let pause = rest.after(Duration::from_micros(took.into()), is_under_way);
                prop_assert!((LEAST_BETWEEN..=LONGEST).contains(&pause));
            }
        }
    }

    #[test]
    fn it_is_frequent_where_it_costs_nothing_and_rare_where_it_costs_much() {
        let pauses = |took| {
            let mut rest = Rest::default();
            [0; 3].map(|_| rest.after(took, false))
        };
        assert_eq!(pauses(Duration::from_micros(300)), [LEAST; 3]);
        assert_eq!(pauses(Duration::from_secs(9)), [LEAST, LEAST, LONGEST]);
        let [.., third] = pauses(Duration::from_millis(10));
        assert_eq!(third, Duration::from_millis(490));
    }

    #[test]
    fn one_slow_sweep_makes_the_next_no_rarer() {
        let mut rest = Rest::default();
        for millis in [1, 1, 1, 400, 1, 400, 400, 1, 1] {
            assert_eq!(rest.after(Duration::from_millis(millis), false), LEAST);
        }
        assert_eq!(rest.after(Duration::from_millis(400), false), LEAST);
        assert_eq!(rest.after(Duration::from_millis(400), false), LEAST);
        assert_eq!(rest.after(Duration::from_millis(400), false), Duration::from_millis(19_600));
    }
}

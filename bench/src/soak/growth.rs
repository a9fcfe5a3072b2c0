//! Compares the median of a resource in the last quarter of a soak with that in the second quarter.
//! Different faults fall into the two, which the medians pass over; a leak raises the median.

use super::resources::Kind;
use crate::summary::Summary;

/// Tables reach their final size once retention and vacuum have gone round a few times. They are
/// not judged in a shorter soak, in seconds.
const TABLES_AFTER: u64 = 1200;

/// The use of one resource in two quarters of a soak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Growth {
    /// The median of the second quarter.
    pub(super) before: f64,
    /// The median of the last quarter.
    pub(super) after: f64,
    /// True if the resource grew; `None` when the soak was too short to judge it.
    pub(super) has_grown: Option<bool>,
}

impl Growth {
    /// Of `(seconds, value)` in a soak of `seconds`.
    pub(super) fn of(kind: Kind, points: &[(f64, f64)], seconds: u64) -> Self {
        let quarter = seconds as f64 / 4.0;
        let median = |from: f64, to: f64| {
            let within = points.iter().filter(|(at, _)| (from..to).contains(at));
            within.map(|(_, value)| *value).collect::<Summary>().median()
        };
        let before = median(quarter, 2.0 * quarter);
        let after = median(3.0 * quarter, f64::INFINITY);
        let (share, slack) = allowance(kind);
        let is_judged = seconds >= TABLES_AFTER || !matches!(kind, Kind::DeadRows | Kind::Size);
        // A quarter without samples is not flat.
        let is_flat = after <= before * share + slack;
        Self { before, after, has_grown: is_judged.then_some(!is_flat) }
    }
}

/// The most that may be used later, as a share of what was used before and a constant.
const fn allowance(kind: Kind) -> (f64, f64) {
    match kind {
        Kind::Memory => (1.1, 8.0),
        Kind::Files | Kind::Threads => (1.0, 4.0),
        Kind::ServiceFiles => (1.2, 32.0),
        Kind::Sessions => (1.0, 3.0),
        Kind::DeadRows => (1.5, 10_000.0),
        Kind::Size => (1.2, 16.0),
        Kind::Backlog => (1.5, 1_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value at each second of a soak.
    fn soak(seconds: u32, value: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..seconds).map(|at| (f64::from(at), value(f64::from(at)))).collect()
    }

    #[test]
    fn what_is_used_more_and_more_has_grown() {
        // With what a fault leaves behind for a while.
        let flat =
            soak(120, |at| if (105.0..112.0).contains(&at) { 90.0 } else { 30.0 + at % 7.0 });
        assert_eq!(Growth::of(Kind::Memory, &flat, 120).has_grown, Some(false));
        // A megabyte in four seconds.
        let leak = soak(120, |at| 30.0 + at / 4.0);
        assert_eq!(Growth::of(Kind::Memory, &leak, 120).has_grown, Some(true));
        // A file in three seconds.
        let files = soak(120, |at| 20.0 + (at / 3.0).floor());
        assert_eq!(Growth::of(Kind::Files, &files, 120).has_grown, Some(true));
    }

    #[test]
    fn what_is_used_at_first_only_has_not_grown() {
        let start = soak(120, |at| if at < 20.0 { 90.0 } else { 30.0 });
        let growth = Growth::of(Kind::Memory, &start, 120);
        assert_eq!((growth.before, growth.after, growth.has_grown), (30.0, 30.0, Some(false)));
    }

    #[test]
    fn what_was_not_sampled_is_not_flat() {
        let start = soak(80, |_| 30.0);
        assert_eq!(Growth::of(Kind::Memory, &start, 120).has_grown, Some(true));
    }

    #[test]
    fn tables_are_not_judged_before_they_have_their_final_size() {
        let grows = soak(1200, |at| at);
        assert_eq!(Growth::of(Kind::Size, &grows[..120], 120).has_grown, None);
        assert_eq!(Growth::of(Kind::Size, &grows, 1200).has_grown, Some(true));
    }
}

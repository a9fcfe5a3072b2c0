//! Progress: when all answer again the backlog shrinks soon, and is gone after a minute.

use crate::check::Check;
use crate::history::History;

/// In milliseconds.
const SHRINKS: u64 = 15_000;
const DRAINED: u64 = 60_000;
/// The share of faults that interrupt work, in percent.
const INTERRUPTING: usize = 70;

pub(super) fn checks(history: &History) -> Vec<Check> {
    let mut shrinks = Check::new("15 s after all answer the backlog shrinks");
    let mut drained = Check::new("60 s after all answer the backlog is gone");
    for calm in &history.calms {
        let told = |after: Option<u64>| {
            format!("{} events at {}: after {after:?} ms", calm.pending, calm.began)
        };
        shrinks.examine(calm.shrunk_after.is_some_and(|after| after <= SHRINKS), || {
            told(calm.shrunk_after)
        });
        drained.examine(calm.drained_after.is_some_and(|after| after <= DRAINED), || {
            told(calm.drained_after)
        });
    }
    let mut real = Check::new("7 of 10 faults interrupt work");
    let interrupting = history.faults.iter().filter(|fault| fault.interrupted).count();
    let enough = interrupting * 100 >= history.faults.len() * INTERRUPTING;
    if !history.faults.is_empty() {
        real.examine(enough, || format!("{interrupting} of {}", history.faults.len()));
    }
    vec![shrinks, drained, real]
}

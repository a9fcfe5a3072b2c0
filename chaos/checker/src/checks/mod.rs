//! The checks: what is in a history, held against the guarantees.

mod effects;
mod events;
mod operators;
mod orders;
mod progress;
mod sequence;

use crate::check::Check;
use crate::history::History;

pub(crate) fn all(history: &History) -> Vec<Check> {
    let by_subject = [
        orders::checks,
        events::checks,
        sequence::checks,
        effects::checks,
        operators::checks,
        progress::checks,
    ];
    by_subject.iter().flat_map(|checks| checks(history)).collect()
}

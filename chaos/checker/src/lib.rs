//! Holds the history of a chaos run against what the pipeline guarantees.
//!
//! It shares no crate with the programs and talks to no server. All it knows is a folder: what the
//! clients did and were told, the messages that a queue beside the consumer's own received, and the
//! rows that were in the tables at the end.
//!
//! | file | what it does |
//! |---|---|
//! | `history` | reads the folder |
//! | `check` | a guarantee, and where a history breaks it |
//! | `checks` | the checks, a file for each subject |
//! | `verdict` | all of them, as text and as JSON |

mod check;
mod checks;
mod history;
mod verdict;

pub use check::Check;
pub use history::{History, Outcome};
pub use verdict::Verdict;

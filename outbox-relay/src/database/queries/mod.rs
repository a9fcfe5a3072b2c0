//! One function per statement of `sql/relay/queries`.
//!
//! | file | what the statements are about |
//! |---|---|
//! | `statements` | all that a session prepares once |
//! | `session` | the session itself |
//! | `lanes`, `writers` | the relays and their lanes; transactions that may still add events |
//! | `audit` | the changes that people make, and this relay's acknowledgements |
//! | `questions` | what commands ask, and this relay's answers |
//! | `pending`, `due` | finding events |
//! | `pauses` | what is not to be published for now |
//! | `contents` | loading them |
//! | `settle`, `unsettled`, `prune` | settling them; those that can't be settled; deleting them |

mod audit;
mod contents;
mod due;
mod lanes;
mod pauses;
mod pending;
mod prune;
mod prune_audit;
mod questions;
mod session;
mod settle;
mod statements;
mod unsettled;
mod writers;

pub(crate) use audit::{
    Audited, acknowledge_audit, audited_up_to, find_overtaken, latest_audit_id, lock_in_flight,
    unlock_in_flight,
};
pub(crate) use contents::{count_digits, identify, load};
#[cfg(test)]
pub(crate) use due::DuePage;
pub(crate) use due::{DueCursor, DueEvents, DuePages, DuePosition, scan_due};
pub(crate) use lanes::{join_relays, leave_relays, list_relays, release_lanes, take_lanes};
pub(crate) use pauses::{
    FoundTable, LoadedPauses, find_pauses_table, load_pauses, prepare_pauses, respect_pauses,
};
pub(crate) use pending::{
    BlockingPolicy, OldestPending, ScannedRows, Successors, find_oldest, measure_backlog, scan_new,
    scan_successors, sweep,
};
pub(crate) use prune::{forget_expired, lock_pruning, next_row, note_expired, prune};
pub(crate) use prune_audit::{AuditSlice, lock_audit_pruning, prune_audit};
pub(crate) use questions::{Question, find_questions, give_answers, take_back_answers};
pub(crate) use session::{
    OptionalParts, find_hidden_rows, find_optional_parts, name_session, prepare_session,
    prepare_settle_session,
};
pub(crate) use settle::{
    NotSettled, SettleTimeout, prepare_settle_failed, probe_settling, set_settle_timeout, settle,
};
pub(crate) use statements::{
    AuditPruneStatements, ExpiredStatements, InspectStatements, LoadUnsettledStatements,
    NamedStatement, PauseStatements, PruneStatements, RelayStatements, SettleStatements,
    UnsettledStatements,
};
pub(crate) use unsettled::{forget_unsettled, load_unsettled, note_unsettled};
#[cfg(test)]
pub(crate) use writers::Writer;
pub(crate) use writers::{OpenTransaction, Writers, list_writers};

//! One function per statement of `sql/relay/queries`.
//!
//! | file | what the statements are about |
//! |---|---|
//! | `statements` | none alone: those that a session prepares once |
//! | `session` | the session itself |
//! | `lanes`, `writers` | other relays; transactions that may still add events |
//! | `pending` | looking for events, and loading them |
//! | `settle`, `prune` | what became of them; deleting them at last |

mod lanes;
mod pending;
mod prune;
mod session;
mod settle;
mod statements;
mod writers;

pub(crate) use lanes::{give_lanes, join_relays, leave_relays, take_lanes, watch_lanes};
pub(crate) use pending::{Holding, Seen, load, look_ahead, look_behind, look_due, measure_backlog};
pub(crate) use prune::{lock_pruning, prune};
pub(crate) use session::{find_hidden_rows, name_session, prepare_session, prepare_settle_session};
pub(crate) use settle::{settle_deleted, settle_failed, settle_published, still_pending};
pub(crate) use statements::{ClaimStatements, PruneStatements, SettleStatements};
pub(crate) use writers::{Writer, Writers, watch_writers};

//! What the document says of the JSON that commands print and pages are drawn from. Nothing is read
//! or written with these types; a test holds the answers of a running console against them.
//!
//! | file | what it describes |
//! |---|---|
//! | `shapes` | a member that may be null, or of two types; the tabs of a list |
//! | `events` | events and their lists |
//! | `place` | where an event is, and the pages that say so |
//! | `status` | the state of the outbox, and the overview |
//! | `failures` | failed events by cause |
//! | `dead_letters` | the desk |
//! | `records` | pauses, audit rows, settings |
//! | `changes` | actions, and operations |

mod changes;
mod dead_letters;
mod events;
mod failures;
mod place;
mod records;
mod shapes;
mod status;

pub(super) use changes::{Confirmation, NewOperation, Operation, Problem};
pub(super) use dead_letters::{LetterGroups, LetterList, LetterPage};
pub(super) use events::EventList;
pub(super) use failures::{Cause, Failures};
pub(super) use place::{AggregatePage, EventPage};
pub(super) use records::{About, AuditList, Changes, Pauses, Search};
pub(super) use status::{Overview, Relays};

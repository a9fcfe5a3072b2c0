//! The exchanges, queues and bindings that the consumer needs.
//!
//! | file | what it does |
//! |---|---|
//! | `objects` | their names, types and arguments |
//! | `declare` | declares all of them |
//! | `verify` | checks that they exist, for `CONSUMER_DECLARE=false` |

mod declare;
mod objects;
mod verify;

pub(super) use declare::declare;
pub(super) use objects::{
    DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE, DELETE_REMEDY, EVENTS_EXCHANGE, EXCHANGES,
    REBUILD_REMEDY, RETRY_EXCHANGE, RETRY_QUEUE, Topology, WORK_BINDING_KEY, WORK_QUEUE, arguments,
    retry_arguments, work_arguments,
};
pub(super) use verify::verify;

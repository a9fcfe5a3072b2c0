//! What the broker was sent, and in which order.

use std::collections::HashSet;

use uuid::Uuid;

use super::table::Table;
use crate::database::queries::BlockingPolicy;
use crate::publish::event::Event;

/// What the broker does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// A queue has it, and the confirm will come.
    Taken,
    /// A queue has it, and the confirm is lost with the connection.
    Unconfirmed,
    Returned,
    Nacked,
    /// The broker closes the channel over it.
    Unacceptable,
    /// It is not sent: its row can't be a message.
    Unpublishable,
}

/// The events that a queue has.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    pub(super) events: HashSet<Uuid>,
    /// Events that may be delivered again, as their outcome was in doubt once.
    pub(super) in_doubt: HashSet<Uuid>,
}

impl Delivered {
    /// A message is sent; `fate` is what the broker does with it.
    pub(super) fn deliver(
        &mut self,
        event: &Event,
        table: &Table,
        policy: BlockingPolicy,
        fate: Fate,
    ) {
        if fate != Fate::Taken {
            self.in_doubt.insert(event.event_id);
        }
        if !matches!(fate, Fate::Taken | Fate::Unconfirmed) {
            return;
        }
        if !self.events.insert(event.event_id) {
            let id = event.event_ref.id;
            assert!(self.in_doubt.contains(&event.event_id), "event {id} is delivered twice");
            return;
        }
        let Some(row) = table.rows.get(&event.event_ref.id) else {
            // It was discarded, or the table emptied, after it was loaded.
            return;
        };
        // A scheduled one may overtake what was held back until a moment ago, also with a retry.
        let is_exempt = row.is_late || row.was_scheduled;
        if !policy.ordered || is_exempt || row.was_stuck && !policy.stuck_holds {
            return;
        }
        for (id, ahead) in table.rows.range(..event.event_ref.id) {
            // Relays check for scheduled ones that they know of.
            let is_ahead = ahead.key == row.key
                && ahead.is_committed()
                && ahead.is_pending
                && !ahead.is_scheduled();
            let is_skipped = ahead.was_stuck && !policy.stuck_holds;
            let is_done = self.events.contains(&ahead.event_id) || ahead.is_late || is_skipped;
            assert!(!is_ahead || is_done, "event {} overtakes event {id}", event.event_ref.id);
        }
    }
}

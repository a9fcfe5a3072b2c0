//! The relay's share of the lanes, as other relays come and go.

use super::{Fate, Model};
use crate::lanes::{LaneSet, lane};

impl Model {
    pub(super) fn has(&self, key: i64) -> bool {
        self.open_lanes().has(lane(key))
    }

    /// The lanes from which the relay takes events.
    pub(super) fn open_lanes(&self) -> LaneSet {
        LaneSet(self.owned & !self.offered)
    }

    pub(super) fn rebalance(&mut self, lanes: u64) {
        let gained = lanes & !self.owned;
        self.offered |= self.owned & !lanes;
        self.owned |= gained;
        self.queue.lanes_taken(LaneSet(gained));
        if gained != 0 {
            self.cursor = 0;
        }
        // By the notes on them, or by the relay's own memory.
        for (event_ref, fate) in &self.blocked {
            let is_failed = *fate == Fate::Failed || *fate == Fate::Stuck && self.stuck_holds;
            if LaneSet(gained).has(lane(event_ref.key)) && !is_failed {
                self.queue.add_unsettled(event_ref);
            }
        }
        self.queue.retain_lanes(self.open_lanes());
        self.leave_blocked();
        self.release_idle();
    }

    pub(super) fn release_idle(&mut self) {
        let ready = self.offered & !self.queue.busy_lanes().0;
        self.owned &= !ready;
        self.offered &= !ready;
    }
}

//! The relay's share of the lanes, as other relays come and go.

use super::{Fate, World};
use crate::lanes::{LaneSet, lane};

impl World {
    pub(super) fn has(&self, key: i64) -> bool {
        LaneSet(self.owned & !self.leaving).has(lane(key))
    }

    pub(super) fn share(&mut self, lanes: u64) {
        let gained = lanes & !self.owned;
        self.leaving |= self.owned & !lanes;
        self.owned |= gained;
        self.queue.resume(LaneSet(gained));
        if gained != 0 {
            self.cursor = 0;
        }
        // By the notes on them, or by the relay's own memory.
        for (place, fate) in &self.aside {
            let is_failed = *fate == Fate::Failed || *fate == Fate::Stuck && self.stuck_holds;
            if LaneSet(gained).has(lane(place.key)) && !is_failed {
                self.queue.hold(place);
            }
        }
        self.queue.keep(LaneSet(self.owned & !self.leaving));
        self.forget_aside();
        self.hand_over();
    }

    pub(super) fn hand_over(&mut self) {
        let ready = self.leaving & !self.queue.busy().0;
        self.owned &= !ready;
        self.leaving &= !ready;
    }
}

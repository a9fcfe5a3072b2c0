//! The advisory locks of relays.

use super::*;

/// The locks of relays.
impl Table {
    pub(in super::super) fn join(&mut self, pid: i32) {
        self.members.insert(pid);
    }

    pub(in super::super) fn leave(&mut self, pid: i32) {
        self.members.remove(&pid);
    }

    /// The session is gone, and all its locks.
    pub(in super::super) fn end_session(&mut self, pid: i32) {
        self.members.remove(&pid);
        self.lanes.retain(|_, owner| *owner != pid);
    }

    pub(in super::super) fn owned(&self, pid: i32) -> LaneSet {
        let owned = self.lanes.iter().filter(|(_, owner)| **owner == pid);
        LaneSet(owned.fold(0, |set, (lane, _)| set | 1 << lane))
    }

    /// Takes those of the lanes that are free.
    pub(in super::super) fn take_lanes(&mut self, pid: i32, wanted: LaneSet) -> LaneSet {
        let free = (0..64_u8).filter(|lane| wanted.has(*lane) && !self.lanes.contains_key(lane));
        let free: Vec<u8> = free.collect();
        self.lanes.extend(free.iter().map(|lane| (*lane, pid)));
        LaneSet(free.iter().fold(0, |set, lane| set | 1 << lane))
    }

    pub(in super::super) fn release_lanes(&mut self, lanes: LaneSet) {
        self.lanes.retain(|lane, _| !lanes.has(*lane));
    }

    pub(in super::super) fn members(&self) -> Vec<Member> {
        let mut pids: BTreeSet<i32> = self.members.clone();
        pids.extend(self.lanes.values());
        let member =
            |pid: i32| Member { pid, lanes: self.owned(pid), at_work: self.members.contains(&pid) };
        pids.into_iter().map(member).collect()
    }
}

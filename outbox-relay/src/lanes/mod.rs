//! How relays share the work. An aggregate belongs to one of 64 lanes, and a lane to one relay at a
//! time.
//!
//! A relay owns a lane by a lock of its session, not of a transaction: the server gives it up the
//! moment the session ends, however it ends, and no transaction is open while the relay talks to
//! the broker (<https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS>).

use std::time::{Duration, Instant};

mod locks;

pub(crate) use locks::{rebalance, release_all, release_idle};

/// How often a relay lists the relays that work.
const LIST_EVERY: Duration = Duration::from_millis(500);

/// The number of lanes: one for each bit of a set.
const LANES: u32 = 64;

/// A set of lanes, one bit each.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneSet(pub(crate) u64);

impl LaneSet {
    pub(crate) const fn has(self, lane: u8) -> bool {
        self.0 & (1 << lane) != 0
    }

    pub(crate) const fn len(self) -> u32 {
        self.0.count_ones()
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn numbers(self) -> Vec<i32> {
        (0..64).filter(|lane| self.0 & (1 << lane) != 0).collect()
    }

    fn of(numbers: &[i32]) -> Self {
        Self(numbers.iter().fold(0, |set, lane| set | 1 << (lane & 63)))
    }
}

/// The lane of an aggregate, by the hash that the database makes of it.
pub(crate) const fn lane(key: i64) -> u8 {
    key.to_le_bytes()[0] & 63
}

/// A relay, as the others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    /// The process of its session at the server.
    pub(crate) pid: i32,
    pub(crate) lanes: LaneSet,
    /// Whether it wants a share. One that leaves still owns the lanes of which events are in
    /// flight.
    pub(crate) at_work: bool,
}

/// The lanes that a relay should take and give to own its share.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    take: LaneSet,
    give: LaneSet,
}

/// What `own` should take and give among `members`. The shares of all add up to 64 and differ by at
/// most one.
fn fair_share(own: i32, members: &[Member]) -> Plan {
    let mut pids: Vec<i32> =
        members.iter().filter(|member| member.at_work).map(|member| member.pid).collect();
    pids.sort_unstable();
    let Ok(rank) = pids.binary_search(&own) else {
        return Plan::default();
    };
    let (rank, relays) =
        (u32::try_from(rank).unwrap_or(u32::MAX), u32::try_from(pids.len()).unwrap_or(u32::MAX));
    let share = LANES / relays + u32::from(rank < LANES % relays);
    let taken = members.iter().fold(0, |set, member| set | member.lanes.0);
    let mine = members.iter().find(|member| member.pid == own).map_or(0, |member| member.lanes.0);
    let held = mine.count_ones();
    // Each begins elsewhere, so that two relays seldom try the same lane at once.
    let first = u32::try_from(u64::from(rank) * u64::from(LANES) / u64::from(relays)).unwrap_or(0);
    Plan {
        take: LaneSet(take_n(!taken, share.saturating_sub(held), first)),
        give: LaneSet(take_n(mine, held.saturating_sub(share), first)),
    }
}

/// At most `count` bits of `set`, beginning with bit `first`.
fn take_n(set: u64, count: u32, first: u32) -> u64 {
    let mut left = set.rotate_right(first);
    let mut kept = 0;
    for _ in 0..count.min(left.count_ones()) {
        kept |= left & left.wrapping_neg();
        left &= left - 1;
    }
    kept.rotate_left(first)
}

/// The session lost locks that it had taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LocksLost;

/// The lanes of this relay.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    /// Those that the session owns.
    owned: LaneSet,
    /// Those of them that go to another relay as soon as nothing of theirs is in flight.
    offered: LaneSet,
    /// When the relays were listed last; `None` while this relay does not count as one that works.
    listed_at: Option<Instant>,
}

impl Lanes {
    /// Those from which events may be taken.
    pub(crate) const fn open(&self) -> LaneSet {
        LaneSet(self.owned.0 & !self.offered.0)
    }

    /// Those that the session owns, offered or not.
    pub(crate) const fn owned(&self) -> LaneSet {
        self.owned
    }

    /// Whether some lanes are to be given to other relays.
    pub(crate) const fn has_offered(&self) -> bool {
        !self.offered.is_empty()
    }

    /// Whether it is time to list the relays again.
    pub(crate) fn is_list_due(&self, now: Instant) -> bool {
        self.listed_at.is_none_or(|listed_at| now.duration_since(listed_at) >= LIST_EVERY)
    }

    /// Whether this relay counts as one that works.
    pub(crate) const fn is_member(&self) -> bool {
        self.listed_at.is_some()
    }

    /// Notes which relays work and what each owns; `own` is this one.
    ///
    /// # Errors
    /// When the session does not own the lanes that it took: its locks are not kept.
    pub(crate) fn members_listed(
        &mut self,
        own: Option<i32>,
        members: &[Member],
        now: Instant,
    ) -> Result<(), LocksLost> {
        self.listed_at = Some(now);
        let kept = members.iter().find(|member| Some(member.pid) == own);
        if kept.is_none_or(|kept| kept.lanes != self.owned) { Err(LocksLost) } else { Ok(()) }
    }

    /// Offers what is beyond the share of `own` to the other relays, and returns the lanes to take
    /// so that the share is whole.
    pub(crate) fn rebalance(&mut self, own: Option<i32>, members: &[Member]) -> LaneSet {
        // Offered lanes are released whatever the others do: their events are forgotten already.
        let members: Vec<Member> = members
            .iter()
            .map(|member| {
                let offered = if Some(member.pid) == own { self.offered.0 } else { 0 };
                Member { lanes: LaneSet(member.lanes.0 & !offered), ..*member }
            })
            .collect();
        let Plan { take, give } = fair_share(own.unwrap_or_default(), &members);
        self.offered.0 |= give.0;
        LaneSet(take.0 & !self.offered.0)
    }

    /// The session owns these lanes now.
    pub(crate) const fn took(&mut self, taken: LaneSet) {
        self.owned.0 |= taken.0;
    }

    /// Offers all lanes to the other relays.
    pub(crate) const fn offer_all(&mut self) {
        self.offered = self.owned;
    }

    /// Those offered lanes that can be released, as nothing of theirs is `busy`.
    pub(crate) const fn idle(&self, busy: LaneSet) -> LaneSet {
        LaneSet(self.offered.0 & !busy.0)
    }

    /// The session does not own these lanes any more.
    pub(crate) const fn released(&mut self, lanes: LaneSet) {
        self.owned.0 &= !lanes.0;
        self.offered.0 &= !lanes.0;
    }

    /// Makes this relay no longer count as one that works. Returns whether it did.
    pub(crate) const fn leave(&mut self) -> bool {
        self.listed_at.take().is_some()
    }

    /// When to list the relays again.
    pub(crate) fn next_list(&self) -> Option<Instant> {
        self.listed_at.map(|listed_at| listed_at + LIST_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lets every relay act on its plan, as the server would: a lane goes to the first who asks.
    fn turn(members: &mut [Member]) {
        for index in 0..members.len() {
            let Plan { take, give } = fair_share(members[index].pid, members);
            assert_eq!(take.0 & members.iter().fold(0, |set, m| set | m.lanes.0), 0);
            assert_eq!(give.0 & !members[index].lanes.0, 0);
            members[index].lanes.0 = (members[index].lanes.0 | take.0) & !give.0;
        }
    }

    /// Relays with distinct pids that own distinct lanes, some lanes owned by none.
    fn relays() -> impl Strategy<Value = Vec<Member>> {
        (
            prop::collection::btree_set(1..100_000_i32, 1..80),
            prop::collection::vec(0..100_usize, 64),
        )
            .prop_map(|(pids, owners)| {
                let mut members: Vec<Member> = pids
                    .into_iter()
                    .map(|pid| Member { pid, lanes: LaneSet::default(), at_work: true })
                    .collect();
                for (lane, owner) in owners.into_iter().enumerate() {
                    if let Some(member) = members.get_mut(owner) {
                        member.lanes.0 |= 1 << lane;
                    }
                }
                members
            })
    }

    proptest! {
        #[test]
        fn two_turns_leave_every_lane_owned_once_and_the_shares_even(mut members in relays()) {
            turn(&mut members);
            turn(&mut members);
            let lanes: Vec<u64> = members.iter().map(|member| member.lanes.0).collect();
            prop_assert_eq!(lanes.iter().fold(0, |set, lanes| set | lanes), u64::MAX);
            prop_assert_eq!(lanes.iter().map(|lanes| lanes.count_ones()).sum::<u32>(), LANES);
            let (least, most) = (
                lanes.iter().map(|lanes| lanes.count_ones()).min().expect("one at least"),
                lanes.iter().map(|lanes| lanes.count_ones()).max().expect("one at least"),
            );
            prop_assert!(most - least <= 1, "{least} to {most}");
            // And then nothing moves any more.
            let settled = members.clone();
            turn(&mut members);
            prop_assert_eq!(members, settled);
        }

        #[test]
        fn a_relay_that_is_not_at_work_does_nothing(members in relays()) {
            prop_assert_eq!(fair_share(0, &members), Plan::default());
        }

        #[test]
        fn some_bits_are_as_many_as_wanted_and_of_the_set(set: u64, count in 0..100_u32, first in 0..64_u32) {
            let kept = take_n(set, count, first);
            prop_assert_eq!(kept & !set, 0);
            prop_assert_eq!(kept.count_ones(), count.min(set.count_ones()));
        }
    }

    #[test]
    fn a_session_without_the_locks_that_it_took_is_noticed() {
        let (now, own) = (Instant::now(), LaneSet(0b1011));
        let mut lanes = Lanes::default();
        lanes.took(own);
        let member = |pid, lanes| Member { pid, lanes: LaneSet(lanes), at_work: true };
        assert_eq!(lanes.members_listed(Some(7), &[member(7, own.0)], now), Ok(()));
        for listed in [0b0011, 0b1111, 0] {
            let members = [member(8, own.0), member(7, listed)];
            assert_eq!(lanes.members_listed(Some(7), &members, now), Err(LocksLost), "{listed:b}");
        }
        assert_eq!(lanes.members_listed(Some(7), &[member(8, own.0)], now), Err(LocksLost));
    }

    #[test]
    fn a_set_and_its_numbers_are_the_same() {
        let set = LaneSet(1 | 1 << 5 | 1 << 63);
        assert_eq!(set.numbers(), [0, 5, 63]);
        assert_eq!(LaneSet::of(&set.numbers()), set);
        assert_eq!((lane(-1), lane(64), lane(5)), (63, 0, 5));
        assert!(set.has(63) && !set.has(62));
    }
}

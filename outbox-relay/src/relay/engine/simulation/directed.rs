//! Sequences that chance seldom plays, step by step, under the same invariants.

use std::time::Duration;

use super::Simulation;
use super::delivered::Fate;
use super::relay::Mishap;
use crate::database::queries::BlockingPolicy;
use crate::lanes::lane;

/// The aggregate of these tests.
pub(super) const KEY: i64 = 0;

/// The longest wait between two scans for new events.
pub(super) const POLL_MAX: Duration = Duration::from_millis(100);

/// How often a relay looks for failed events that are due.
const RETRIES_EVERY: Duration = Duration::from_millis(500);

impl Simulation {
    pub(super) fn strict() -> Self {
        Self::new(BlockingPolicy { ordered: true, stuck_holds: true }, 1)
    }

    /// Two relays, of which the first one owns the lane of [`KEY`].
    pub(super) fn of_two_relays() -> Self {
        let mut simulation = Self::strict();
        for relay in [1, 0, 1, 0] {
            simulation.until_list(relay);
            simulation.tick_with(relay, || Fate::Taken);
        }
        assert!(simulation.relays[0].engine.lanes.open().has(lane(KEY)));
        assert!(!simulation.relays[1].engine.lanes.open().is_empty());
        simulation
    }

    /// The first relay has an event in flight that failed before, and is confirmed with the next
    /// answer. Another one waits behind it.
    pub(super) fn with_a_retry_in_flight() -> Self {
        let mut simulation = Self::of_two_relays();
        simulation.commit(2);
        simulation.tick_with(0, || Fate::Returned);
        simulation.answer_with(0, 0, || Fate::Taken);
        simulation.settle(0);
        simulation.now += Duration::from_secs(2);
        simulation.tick_with(0, || Fate::Taken);
        assert_eq!(simulation.relays[0].in_flight.len(), 1, "it is due");
        simulation
    }

    /// A service writes events of [`KEY`], and a scan for them is due.
    pub(super) fn commit(&mut self, rows: usize) {
        self.commit_of(KEY, rows);
    }

    pub(super) fn commit_of(&mut self, key: i64, rows: usize) {
        self.now += POLL_MAX;
        let transaction = self.table.begin(key).expect("nobody else writes");
        self.table.insert(transaction, rows);
        self.table.end(transaction, true);
    }

    /// The second relay takes over the lanes of the first one, and has not looked yet for failed
    /// events that are due.
    fn second_takes_over(&mut self) {
        self.until_list(1);
        self.tick_with(1, || Fate::Taken);
        assert!(self.relays[1].engine.lanes.open().has(lane(KEY)));
        assert!(self.relays[1].in_flight.is_empty());
    }

    /// The second relay looks for failed events long after it has listed the relays, so that it does
    /// so again long after it lists them again.
    fn second_looks_for_retries(&mut self) {
        self.until_list(1);
        self.relays[1].delay = RETRIES_EVERY * 4 / 5;
        self.tick_with(1, || Fate::Taken);
        self.relays[1].delay = Duration::ZERO;
    }

    /// A statement settles what the relay knows.
    pub(super) fn settle(&mut self, relay: usize) {
        self.now += Duration::from_millis(10);
        self.tick_with(relay, || Fate::Taken);
        self.relays[relay].end_settling(&mut self.table, true, self.now);
    }

    /// What is written next does not overtake what the relays have left out, if anything.
    pub(super) fn go_on(mut self) {
        self.commit(1);
        for _ in 0..10 {
            self.now += Duration::from_millis(10);
            for relay in 0..self.relays.len() {
                self.relays[relay].sweep(&self.table);
                self.tick_with(relay, || Fate::Taken);
                if !self.relays[relay].in_flight.is_empty() {
                    self.answer_with(relay, 0, || Fate::Taken);
                }
                self.relays[relay].end_settling(&mut self.table, true, self.now);
            }
            self.check();
        }
        self.recover();
    }
}

/// The success of a retry lets those behind it go. The relay that owns the lane by now may have gone
/// past them.
mod the_success_of_a_retry_is_left_to_the_owner_of_the_lane {
    use super::*;

    #[test]
    fn when_it_waits_to_be_settled() {
        let mut simulation = Simulation::with_a_retry_in_flight();
        simulation.answer_with(0, 0, || Fate::Taken);
        simulation.second_looks_for_retries();
        simulation.lose_session(0);
        simulation.has_left_what_it_sent(0);
        simulation.second_takes_over();
        simulation.settle(0);
        simulation.go_on();
    }

    #[test]
    fn when_it_is_confirmed_later() {
        let mut simulation = Simulation::with_a_retry_in_flight();
        simulation.second_looks_for_retries();
        simulation.lose_session(0);
        simulation.second_takes_over();
        simulation.answer_with(0, 0, || Fate::Taken);
        simulation.has_left_what_it_sent(0);
        simulation.settle(0);
        simulation.go_on();
    }

    #[test]
    fn when_the_statement_fails_that_was_to_settle_it() {
        let mut simulation = Simulation::with_a_retry_in_flight();
        simulation.answer_with(0, 0, || Fate::Taken);
        simulation.now += Duration::from_millis(10);
        simulation.tick_with(0, || Fate::Taken);
        assert!(simulation.relays[0].settling.is_some());
        simulation.second_looks_for_retries();
        simulation.lose_session(0);
        simulation.second_takes_over();
        simulation.relays[0].end_settling(&mut simulation.table, false, simulation.now);
        // It sees that the statement has ended.
        simulation.now += Duration::from_millis(60);
        simulation.tick_with(1, || Fate::Taken);
        assert!(simulation.relays[1].in_flight.is_empty());
        simulation.now += Duration::from_millis(60);
        simulation.settle(0);
        simulation.go_on();
    }

    #[test]
    fn when_the_relay_has_not_noticed_that_its_session_ended() {
        let mut simulation = Simulation::with_a_retry_in_flight();
        simulation.answer_with(0, 0, || Fate::Taken);
        simulation.second_looks_for_retries();
        simulation.cut_off(0);
        simulation.second_takes_over();
        simulation.settle(0);
        simulation.go_on();
    }
}

/// The success of a retry is known, and not settled yet, as another event is in flight.
fn with_a_retry_to_be_settled() -> Simulation {
    let mut simulation = Simulation::with_a_retry_in_flight();
    simulation.commit_of(64, 1);
    simulation.tick_with(0, || Fate::Taken);
    assert_eq!(simulation.relays[0].in_flight.len(), 2);
    simulation.answer_with(0, 0, || Fate::Taken);
    simulation
}

#[test]
fn events_behind_a_retry_are_found_after_a_scan_that_the_server_gave_up() {
    let mut simulation = with_a_retry_to_be_settled();
    simulation.relays[0].mishap = Some(Mishap::ScanGivenUp);
    simulation.now += Duration::from_millis(5);
    simulation.tick_with(0, || Fate::Taken);
    simulation.tick_with(0, || Fate::Taken);
    simulation.settle(0);
    simulation.go_on();
}

#[test]
fn events_behind_a_retry_are_found_after_the_table_was_rewritten() {
    let mut simulation = with_a_retry_to_be_settled();
    simulation.table.rewrite();
    simulation.now += Duration::from_millis(5);
    simulation.tick_with(0, || Fate::Taken);
    simulation.tick_with(0, || Fate::Taken);
    simulation.settle(0);
    simulation.go_on();
}

#[test]
fn events_behind_one_that_another_relay_charged_while_it_was_queued_are_looked_for() {
    let mut simulation = Simulation::of_two_relays();
    simulation.commit(2);
    simulation.tick_with(0, || Fate::Returned);
    simulation.answer_with(0, 0, || Fate::Taken);
    simulation.now += Duration::from_millis(10);
    simulation.tick_with(0, || Fate::Taken);
    assert!(simulation.relays[0].settling.is_some(), "the failure is under way to the table");
    simulation.lose_session(0);
    simulation.until_list(1);
    simulation.tick_with(1, || Fate::Unconfirmed);
    assert_eq!(simulation.relays[1].in_flight.len(), 1, "as one that was never tried");
    simulation.relays[0].end_settling(&mut simulation.table, true, simulation.now);
    simulation.answer_with(1, 0, || Fate::Taken);
    // The table holds back what is written now, until the event is settled.
    simulation.go_on();
}

#[test]
fn the_first_scan_is_one_that_the_next_can_go_on_from() {
    let mut simulation = Simulation::strict();
    simulation.commit(3);
    simulation.tick_with(0, || Fate::Taken);
    assert_eq!(simulation.relays[0].engine.scanner.low_watermark(), 3);
}

/// The success of a retry is known to be unsettled while an event that appeared late is in flight.
/// Another relay writes it, and gives the lane back.
#[test]
fn events_behind_a_retry_that_another_relay_has_settled_go_on() {
    let mut simulation = Simulation::with_a_retry_in_flight();
    simulation.late_id -= 1;
    simulation.table.insert_late(simulation.late_id, KEY);
    // It takes its lanes again, and scans the whole table.
    simulation.lose_session(0);
    simulation.until_list(0);
    simulation.tick_with(0, || Fate::Taken);
    simulation.answer_with(0, 0, || Fate::Taken);
    simulation.table.lock(1);
    simulation.settle(0);
    simulation.table.unlock_all();
    assert_eq!(simulation.relays[0].in_flight.len(), 1, "the late one");
    simulation.lose_session(0);
    simulation.until_list(1);
    simulation.tick_with(1, || Fate::Taken);
    simulation.now += Duration::from_secs(1);
    simulation.settle(1);
    simulation.lose_session(1);
    simulation.until_list(0);
    simulation.tick_with(0, || Fate::Taken);
    assert!(simulation.relays[0].engine.lanes.open().has(lane(KEY)), "it is back");
    simulation.answer_with(0, 0, || Fate::Taken);
    simulation.tick_with(0, || Fate::Taken);
    assert_eq!(simulation.relays[0].in_flight.len(), 1, "the one behind the retry");
    simulation.go_on();
}

/// An event whose row is locked is tried to be settled again as soon as the table was rewritten.
#[test]
fn nobody_waits_for_another_aggregates_unsettled_event_after_the_table_was_rewritten() {
    let mut simulation = Simulation::of_two_relays();
    simulation.commit(1);
    simulation.tick_with(0, || Fate::Taken);
    simulation.table.lock(1);
    simulation.answer_with(0, 0, || Fate::Taken);
    simulation.settle(0);
    simulation.table.rewrite();
    simulation.now += POLL_MAX;
    simulation.tick_with(0, || Fate::Taken);
    simulation.tick_with(0, || Fate::Taken);
    assert!(simulation.relays[0].settling.is_some(), "the locked row is tried again");
    simulation.commit_of(64, 1);
    simulation.tick_with(0, || Fate::Taken);
    assert_eq!(simulation.relays[0].in_flight.len(), 1, "the event of another aggregate");
    simulation.table.unlock_all();
    simulation.go_on();
}

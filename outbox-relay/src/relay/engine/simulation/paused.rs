//! Sequences about pauses that chance seldom plays, under the same invariants. Events 3, 6, 9 … are of
//! the type `shipped`, all others `created`.

use std::time::Duration;

use super::Simulation;
use super::delivered::Fate;
use crate::pauses::Pause;

impl Simulation {
    fn pause(&mut self, event_type: &str) {
        let event_type = Some(event_type.to_owned());
        self.table.pause(Pause { event_type, ..Pause::default() });
        self.turn();
    }

    fn resume(&mut self) {
        self.table.resume(false);
        self.turn();
    }

    /// The first relay does what is due.
    fn turn(&mut self) {
        self.now += Duration::from_millis(600);
        self.tick_with(0, || Fate::Taken);
    }

    /// So many events are written and published, one after the other.
    fn publish(&mut self, rows: usize) {
        self.commit(rows);
        for _ in 0..rows {
            self.turn();
            self.answer_with(0, 0, || Fate::Taken);
            self.settle(0);
        }
    }

    fn in_flight(&self) -> usize {
        self.relays[0].in_flight.len()
    }
}

#[test]
fn an_event_waits_behind_one_that_is_paused() {
    let mut simulation = Simulation::of_two_relays();
    simulation.pause("created");
    simulation.commit(3);
    for _ in 0..3 {
        simulation.turn();
        simulation.relays[0].sweep(&simulation.table);
        assert_eq!(simulation.in_flight(), 0);
    }
    simulation.resume();
    assert_eq!(simulation.in_flight(), 1);
    simulation.go_on();
}

#[test]
fn an_event_that_is_not_paused_is_sent_up_to_one_that_is() {
    let mut simulation = Simulation::of_two_relays();
    simulation.commit(4);
    simulation.pause("shipped");
    for _ in 1..=2 {
        assert_eq!(simulation.in_flight(), 1);
        simulation.answer_with(0, 0, || Fate::Taken);
        simulation.settle(0);
        simulation.turn();
    }
    assert_eq!(simulation.in_flight(), 0, "3 is paused, and 4 behind it");
    simulation.resume();
    assert_eq!(simulation.in_flight(), 1);
    simulation.go_on();
}

#[test]
fn what_is_in_flight_is_finished_and_the_next_one_waits_for_nobody() {
    let mut simulation = Simulation::of_two_relays();
    simulation.commit(2);
    simulation.tick_with(0, || Fate::Taken);
    assert_eq!(simulation.in_flight(), 1);
    // Event 1 is paused as well, but has left.
    simulation.pause("created");
    simulation.answer_with(0, 0, || Fate::Taken);
    simulation.settle(0);
    simulation.commit(1);
    simulation.turn();
    assert_eq!(simulation.in_flight(), 0, "2 is paused, and 3 behind it");
    simulation.resume();
    simulation.go_on();
}

#[test]
fn nobody_waits_for_an_event_that_was_in_flight_when_it_was_paused() {
    let mut simulation = Simulation::of_two_relays();
    simulation.publish(2);
    simulation.commit(1);
    simulation.tick_with(0, || Fate::Taken);
    simulation.pause("shipped");
    simulation.commit(1);
    simulation.turn();
    assert_eq!(simulation.in_flight(), 1, "event 3, which is paused by now");
    simulation.answer_with(0, 0, || Fate::Taken);
    simulation.settle(0);
    assert_eq!(simulation.in_flight(), 1, "event 4");
    simulation.resume();
    simulation.go_on();
}

#[test]
fn an_event_of_unknown_outcome_that_was_paused_meanwhile_is_not_sent_again() {
    let mut simulation = Simulation::of_two_relays();
    simulation.commit(3);
    simulation.tick_with(0, || Fate::Unconfirmed);
    simulation.pause("created");
    assert_eq!(simulation.in_flight(), 1);
    simulation.answer_with(0, 0, || Fate::Taken);
    for _ in 0..3 {
        simulation.turn();
        assert_eq!(simulation.in_flight(), 0, "nor those behind it");
    }
    simulation.resume();
    simulation.go_on();
}

#[test]
fn those_behind_an_event_of_unknown_outcome_that_was_paused_meanwhile_wait_for_it() {
    let mut simulation = Simulation::of_two_relays();
    simulation.publish(2);
    simulation.commit(1);
    simulation.tick_with(0, || Fate::Unconfirmed);
    simulation.pause("shipped");
    simulation.commit(1);
    simulation.turn();
    assert_eq!(simulation.in_flight(), 1, "event 3, whose outcome will be unknown");
    simulation.answer_with(0, 0, || Fate::Taken);
    for _ in 0..3 {
        simulation.turn();
        simulation.relays[0].sweep(&simulation.table);
        assert_eq!(simulation.in_flight(), 0, "event 4 is not paused, and waits for 3");
    }
    simulation.resume();
    assert_eq!(simulation.in_flight(), 1);
    simulation.go_on();
}

#[test]
fn a_run_that_ends_early_leaves_out_what_was_paused_meanwhile_and_those_behind_it() {
    let mut simulation = Simulation::of_two_relays();
    simulation.commit(4);
    simulation.tick_with(0, || Fate::Taken);
    simulation.answer_with(0, 0, || Fate::Taken);
    simulation.settle(0);
    assert_eq!(simulation.in_flight(), 1, "event 2, with 3 and 4 in its run");
    simulation.pause("shipped");
    simulation.commit(1);
    simulation.turn();
    // Too late for the others to follow.
    simulation.answer_with(0, 0, || Fate::Taken);
    simulation.settle(0);
    for _ in 0..3 {
        simulation.turn();
        simulation.relays[0].sweep(&simulation.table);
        assert_eq!(simulation.in_flight(), 0, "3 is paused, and 4 and 5 behind it");
    }
    simulation.resume();
    assert_eq!(simulation.in_flight(), 1);
    simulation.go_on();
}

#[test]
fn an_event_that_waits_its_turn_is_not_sent_once_a_person_has_given_it_a_paused_type() {
    let mut simulation = Simulation::of_two_relays();
    simulation.pause("shipped");
    simulation.commit(2);
    simulation.tick_with(0, || Fate::Taken);
    assert_eq!(simulation.in_flight(), 1, "event 1");
    simulation.table.rows.get_mut(&2).expect("event 2").event_type = "shipped";
    simulation.table.audit += 1;
    simulation.turn();
    simulation.answer_with(0, 0, || Fate::Taken);
    simulation.settle(0);
    simulation.commit(2);
    for _ in 0..3 {
        simulation.turn();
        simulation.relays[0].sweep(&simulation.table);
        assert_eq!(simulation.in_flight(), 0, "2 is paused, and 4 behind it");
    }
    simulation.resume();
    assert_eq!(simulation.in_flight(), 1);
    simulation.go_on();
}

#[test]
fn nobody_waits_for_long_for_a_paused_event_that_another_relay_had_in_flight() {
    let mut simulation = Simulation::of_two_relays();
    simulation.pause("shipped");
    simulation.commit(4);
    for _ in 1..=2 {
        simulation.turn();
        simulation.answer_with(0, 0, || Fate::Taken);
        simulation.settle(0);
    }
    // The relay has found event 3 paused. One that owned the lane before publishes it after all.
    let row = simulation.table.rows.get_mut(&3).expect("event 3");
    row.is_pending = false;
    simulation.delivered.events.insert(row.event_id);
    simulation.turn();
    assert_eq!(simulation.in_flight(), 0, "event 4 waits for it");
    simulation.now += Duration::from_secs(61);
    simulation.turn();
    assert_eq!(simulation.in_flight(), 1, "event 4");
    simulation.resume();
    simulation.go_on();
}

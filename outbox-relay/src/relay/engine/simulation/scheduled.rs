//! Sequences about a scheduled event that goes ahead of events that were held back until a moment
//! before. All others keep their order, whatever becomes of it.

use std::time::Duration;

use super::Simulation;
use super::delivered::Fate;
use super::directed::{KEY, POLL_MAX};
use super::relay::InFlight;
use super::table::NextAttempt;

/// The scheduled event. Events 2, 3 and 4 come before it.
const SCHEDULED: i64 = 5;

impl Simulation {
    /// The scheduled event is in flight with that fate, as event 1, which failed, held back those
    /// before it until a person discarded it. They are found by now.
    fn with_a_scheduled_event_ahead(fate: Fate) -> Self {
        let mut simulation = Self::of_two_relays();
        simulation.commit(1);
        simulation.tick_with(0, || Fate::Returned);
        simulation.answer_with(0, 0, || Fate::Taken);
        simulation.settle(0);
        simulation.commit(3);
        simulation.write_for(Duration::from_millis(700));
        for _ in 0..2 {
            simulation.tick_with(0, || Fate::Taken);
            simulation.now += POLL_MAX;
        }
        assert!(simulation.relays[0].in_flight.is_empty(), "event 1 holds back the others");
        assert_eq!(simulation.relays[0].engine.scanner.low_watermark(), SCHEDULED);
        simulation.table.discard(1);
        simulation.now += Duration::from_millis(700);
        simulation.tick_with(0, || fate);
        assert_eq!(simulation.in_flight_of(0), [SCHEDULED], "the scan by time comes first");
        simulation.now += Duration::from_millis(10);
        simulation.tick_with(0, || Fate::Taken);
        simulation
    }

    /// A service writes an event for later.
    fn write_for(&mut self, delay: Duration) {
        let at = NextAttempt::At(self.now + delay);
        let transaction = self.table.begin(KEY).expect("nobody else writes");
        self.table.insert_for(transaction, 1, at);
        self.table.end(transaction, true);
    }

    fn in_flight_of(&self, relay: usize) -> Vec<i64> {
        self.relays[relay].in_flight.iter().flat_map(InFlight::ids).collect()
    }
}

#[test]
fn those_before_it_are_sent_when_it_fails() {
    let mut simulation = Simulation::with_a_scheduled_event_ahead(Fate::Returned);
    simulation.answer_with(0, 0, || Fate::Taken);
    simulation.settle(0);
    simulation.go_on();
}

#[test]
fn those_before_it_are_sent_when_it_can_not_be_settled_for_a_while() {
    let mut simulation = Simulation::with_a_scheduled_event_ahead(Fate::Taken);
    simulation.table.lock(SCHEDULED);
    simulation.answer_with(0, 0, || Fate::Taken);
    simulation.now += Duration::from_millis(10);
    simulation.tick_with(0, || Fate::Taken);
    assert_eq!(simulation.in_flight_of(0), [2], "in a run with those behind it");
    simulation.settle(0);
    // The run takes too long to go on.
    simulation.now += Duration::from_millis(60);
    simulation.answer_with(0, 0, || Fate::Taken);
    simulation.settle(0);
    assert!(simulation.in_flight_of(0).is_empty(), "all wait for it");
    simulation.table.unlock_all();
    simulation.now += Duration::from_secs(1);
    simulation.settle(0);
    simulation.go_on();
}

/// A scan from the beginning takes long to come to the events before the scheduled one: there are
/// many of another aggregate, of which the first is in flight for long.
mod those_before_it_are_not_overtaken_before_a_scan_has_come_to_them {
    use super::*;

    /// The scheduled event.
    const SCHEDULED: i64 = 75;

    /// The scheduled event is in flight with that fate. So is one of the other aggregate.
    fn long_scan(fate: Fate) -> Simulation {
        let mut simulation = Simulation::of_two_relays();
        simulation.commit(1);
        simulation.tick_with(0, || Fate::Returned);
        simulation.answer_with(0, 0, || Fate::Taken);
        simulation.settle(0);
        simulation.commit_of(64, 70);
        simulation.commit(3);
        simulation.write_for(Duration::from_millis(700));
        for _ in 0..30 {
            simulation.tick_with(0, || Fate::Taken);
            simulation.now += Duration::from_millis(20);
        }
        assert_eq!(simulation.in_flight_of(0), [2], "event 1 holds back the others");
        assert_eq!(simulation.relays[0].engine.scanner.low_watermark(), SCHEDULED);
        simulation.table.discard(1);
        simulation.now += Duration::from_millis(700);
        simulation.tick_with(0, || fate);
        assert_eq!(simulation.in_flight_of(0), [2, SCHEDULED], "the scan by time comes first");
        simulation.commit(1);
        simulation
    }

    #[test]
    fn when_it_fails_and_is_published_later() {
        let mut simulation = long_scan(Fate::Returned);
        simulation.answer_with(0, 1, || Fate::Taken);
        simulation.settle(0);
        simulation.now += Duration::from_secs(2);
        simulation.tick_with(0, || Fate::Taken);
        assert_eq!(simulation.in_flight_of(0), [2, SCHEDULED], "it is due again");
        simulation.answer_with(0, 1, || Fate::Taken);
        simulation.settle(0);
        simulation.go_on();
    }

    #[test]
    fn when_it_can_not_be_settled_for_a_while() {
        let mut simulation = long_scan(Fate::Taken);
        simulation.table.lock(SCHEDULED);
        simulation.answer_with(0, 1, || Fate::Taken);
        simulation.settle(0);
        simulation.table.unlock_all();
        simulation.now += Duration::from_secs(1);
        simulation.settle(0);
        simulation.go_on();
    }
}

//! A relay forgets what it has sent once that is left to the relay that owns the lane by now.

use super::Simulation;
use super::delivered::Fate;

impl Simulation {
    /// A relay has left to others what it had sent: no change comes too late for that any more.
    pub(super) fn has_left_what_it_sent(&mut self, relay: usize) {
        let sent = &mut self.relays[relay].engine.dispatcher.sent;
        sent.mark_compared();
        assert!(sent.audit_ids().is_empty(), "{sent:?}");
    }
}

#[test]
fn a_retry_that_can_not_be_settled_is_left_with_its_lane() {
    let mut simulation = Simulation::with_a_retry_in_flight();
    simulation.table.lock(1);
    simulation.answer_with(0, 0, || Fate::Taken);
    simulation.settle(0);
    assert_eq!(simulation.relays[0].engine.settling.unsettled.len(), 1);
    simulation.lose_session(0);
    simulation.has_left_what_it_sent(0);
    simulation.table.unlock_all();
    simulation.go_on();
}

/// The relay that owns the lane by now finds the note of the event, and settles it.
#[test]
fn an_event_that_can_not_be_settled_is_left_with_its_lane() {
    let mut simulation = Simulation::of_two_relays();
    simulation.commit(1);
    simulation.tick_with(0, || Fate::Taken);
    simulation.table.lock(1);
    simulation.answer_with(0, 0, || Fate::Taken);
    simulation.settle(0);
    assert_eq!(simulation.relays[0].engine.settling.unsettled.len(), 1);
    simulation.lose_session(0);
    simulation.has_left_what_it_sent(0);
    simulation.table.unlock_all();
    simulation.go_on();
}

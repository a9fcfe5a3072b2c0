//! The queue against a model of all that happens around it: whatever the order of events, none
//! overtakes another of its aggregate and none is forgotten.

mod model;

use proptest::prelude::*;

use super::aggregate_queue::CAPACITY;
use super::*;
use model::{Fate, Model, Step};

fn fate() -> impl Strategy<Value = Fate> {
    prop::sample::select(&[Fate::Published, Fate::Failed, Fate::Stuck, Fate::Unknown][..])
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = || any::<prop::sample::Index>();
    let key = || prop::sample::select(&model::KEYS[..]);
    let step = prop_oneof![
        6 => (key(), 1..6_usize).prop_map(|(key, rows)| Step::Add { key, rows }),
        1 => (key(), 100..300_usize).prop_map(|(key, rows)| Step::Add { key, rows }),
        2 => (key(), 1..3_usize).prop_map(|(key, rows)| Step::Schedule { key, rows }),
        1 => (key(), 100..300_usize).prop_map(|(key, rows)| Step::Schedule { key, rows }),
        2 => key().prop_map(|key| Step::Begin { key }),
        2 => which().prop_map(Step::Commit),
        10 => (1..500_usize).prop_map(|rows| Step::ScanNew { rows }),
        6 => (1..8_usize).prop_map(|rows| Step::ScanDueRetries { rows }),
        1 => (100..300_usize).prop_map(|rows| Step::ScanDueRetries { rows }),
        10 => (1..4_usize).prop_map(|aggregates| Step::ScanSuccessors { aggregates }),
        20 => (1..10_usize, 1..40_i64).prop_map(|(count, bytes)| Step::Take { count, bytes }),
        10 => (1..20_usize).prop_map(|behind| Step::TakeRun { behind }),
        10 => (which(), fate()).prop_map(|(sent, last)| Step::EndRun { sent, last }),
        20 => (which(), 1..10_usize).prop_map(|(first, count)| Step::Publish { first, count }),
        6 => which().prop_map(Step::Fail),
        2 => which().prop_map(Step::GiveUp),
        3 => which().prop_map(Step::LoseConfirm),
        12 => (1..20_usize).prop_map(|count| Step::Settle { count }),
        4 => which().prop_map(Step::SettleBlocked),
        3 => (1..4_usize).prop_map(|count| Step::Unblock { count }),
        3 => Just(Step::BecomeDue),
        2 => which().prop_map(Step::Retry),
        2 => which().prop_map(Step::Discard),
        2 => which().prop_map(Step::Unpublish),
        3 => which().prop_map(Step::Prune),
        6 => Just(Step::Sweep),
        2 => (0..16_u64).prop_map(|lanes| Step::Rebalance { lanes }),
        1 => (0..16_u64).prop_map(|lanes| Step::LoseSession { lanes }),
        2 => (key(), 1..5_usize).prop_map(|(key, rows)| Step::OtherRelay { key, rows }),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_event_overtakes_another_of_its_aggregate_and_none_is_forgotten(
        ordered in prop::bool::weighted(0.85),
        stuck_holds: bool,
        steps in steps(),
    ) {
        let mut model = Model::new(ordered, stuck_holds);
        for step in &steps {
            model.step(step);
        }
        model.drain();
    }
}

/// An event of the aggregate with this key.
fn event_ref(id: i64, key: i64) -> EventRef {
    EventRef { id, key, size: 1 }
}

#[test]
fn a_hot_aggregate_is_tracked_up_to_its_capacity() {
    let mut queue = Queue::new(true);
    for id in 1..=20_000 {
        queue.push(event_ref(id, 7));
    }
    assert_eq!(queue.tracked.len(), 1 + CAPACITY);
    assert!(!queue.is_full());
}

#[test]
fn nothing_is_read_behind_an_event_that_failed_until_the_table_knows_of_it() {
    let mut queue = Queue::new(true);
    for id in 1..=200 {
        queue.push(event_ref(id, 7));
    }
    // Until it is underfilled.
    for _ in 0..120 {
        let published = queue.take(1, 1)[0];
        queue.confirmed(&published);
        queue.settled(&published);
    }
    let failed = queue.take(1, 1)[0];
    queue.failed(&failed);
    assert_eq!(queue.underfilled(10), (Vec::new(), Vec::new()));
    queue.settled(&failed);
    assert!(queue.is_empty(), "{queue:?}");
    queue.push_retry(failed);
    assert_eq!(queue.take(10, 10), [failed]);
}

#[test]
fn an_event_that_appears_late_in_a_full_aggregate_comes_next() {
    let mut queue = Queue::new(true);
    for id in 1001..=1200 {
        queue.push(event_ref(id, 7));
    }
    let first = queue.take(1, 1)[0];
    assert!(queue.push(event_ref(1, 7)));
    assert!(!queue.push(event_ref(1201, 7)), "it is read when its turn comes");
    queue.confirmed(&first);
    assert_eq!(queue.take(10, 10), [event_ref(1, 7)]);
}

#[test]
fn an_event_that_appears_late_goes_before_one_that_is_ready() {
    let mut queue = Queue::new(true);
    for id in 11..=13 {
        queue.push(event_ref(id, 7));
    }
    assert!(queue.push(event_ref(1, 7)));
    let first = queue.take(10, 10);
    assert_eq!(first, [event_ref(1, 7)]);
    assert_eq!(queue.underfilled(10), (vec![7], vec![1]), "the others are read again");
    queue.refill(&[7], (11..=13).map(|id| event_ref(id, 7)).collect());
    queue.confirmed(&first[0]);
    assert_eq!(queue.take(10, 10), [event_ref(11, 7)]);
}

#[test]
fn an_event_goes_before_one_that_was_in_flight_and_goes_back() {
    let mut queue = Queue::new(true);
    queue.push(event_ref(11, 7));
    let sent = queue.take(1, 1)[0];
    assert!(queue.push(event_ref(1, 7)));
    queue.quarantine(sent);
    assert_eq!(queue.take(10, 10), [event_ref(1, 7)]);
    assert!(queue.take_quarantined(10, 10, |_| false).is_empty(), "it is read again");
}

#[test]
fn an_event_that_appears_late_is_not_forgotten_while_its_aggregate_is_held() {
    let mut queue = Queue::new(true);
    queue.push(event_ref(2, 7));
    queue.push(event_ref(3, 7));
    let second = queue.take(1, 1)[0];
    queue.confirmed(&second);
    let third = queue.take(1, 1)[0];
    queue.settle_blocked(&second);
    queue.push(event_ref(1, 7));
    queue.confirmed(&third);
    queue.settled(&third);
    queue.unblocked(&second);
    queue.refill(&[7], Vec::new());
    assert!(queue.is_empty(), "{queue:?}");
    assert!(queue.push(event_ref(1, 7)), "a scan finds it again");
    assert_eq!(queue.take(10, 10), [event_ref(1, 7)]);
}

#[test]
fn many_hot_aggregates_that_failed_do_not_fill_it_beyond_its_bound() {
    let aggregates = 2000;
    let mut queue = Queue::new(true);
    for key in 0..aggregates {
        queue.push_retry(event_ref(key + 1, key));
    }
    let taken = queue.take(usize::MAX, i64::MAX);
    for event_ref in &taken {
        queue.confirmed(event_ref);
        queue.settled(event_ref);
    }
    let most = 64;
    for _ in 0..aggregates {
        let (keys, _) = queue.underfilled(most);
        let found = keys.iter().flat_map(|&key| {
            let first = 10_000 + key * 1000;
            (first..).take(CAPACITY).map(move |id| event_ref(id, key))
        });
        let found = found.collect();
        queue.refill(&keys, found);
    }
    assert!(queue.is_full());
    assert!(queue.tracked.len() < FULL + most * CAPACITY, "{} are remembered", queue.tracked.len());
    // And it goes on once there is room.
    let mut published = 0;
    while !queue.is_empty() {
        for event_ref in queue.take(1000, i64::MAX) {
            queue.confirmed(&event_ref);
            queue.settled(&event_ref);
            published += 1;
        }
        let (keys, _) = queue.underfilled(most);
        queue.refill(&keys, Vec::new());
    }
    assert!(published >= FULL, "{published}");
}

#[test]
fn more_events_that_appear_ahead_of_one_in_flight_than_are_tracked_are_read_again() {
    let mut queue = Queue::new(true);
    queue.push(event_ref(10_000, 1));
    let in_flight = queue.take(1000, i64::MAX);
    assert_eq!(in_flight.len(), 1);
    for id in 1..=200 {
        queue.push(event_ref(id, 1));
    }
    queue.confirmed(&in_flight[0]);
    queue.settled(&in_flight[0]);
    let mut left: Vec<i64> = (1..=200).collect();
    for _ in 0..1000 {
        if left.is_empty() {
            return;
        }
        for event in queue.take(1000, i64::MAX) {
            assert_eq!(event.id, left.remove(0));
            queue.confirmed(&event);
            queue.settled(&event);
        }
        let (keys, ids) = queue.underfilled(10);
        let behind = ids.first().copied().unwrap_or(i64::MAX);
        let found = left.iter().filter(|id| **id > behind).take(Queue::REFILL);
        let found = found.map(|id| event_ref(*id, 1)).collect();
        queue.refill(&keys, found);
    }
    panic!("{left:?} are never sent: {queue:?}");
}

//! The queue against a simple model of all that happens to it: whatever the order of events, none overtakes another of its aggregate
//! and none is forgotten.

mod model;

use proptest::prelude::*;

use super::*;
use model::{Fate, Step, World};

fn fate() -> impl Strategy<Value = Fate> {
    prop::sample::select(&[Fate::Published, Fate::Failed, Fate::Stuck, Fate::Unknown][..])
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = || any::<prop::sample::Index>();
    let key = || prop::sample::select(&model::KEYS[..]);
    let step = prop_oneof![
        6 => (key(), 1..6_usize).prop_map(|(key, rows)| Step::Add { key, rows }),
        1 => (key(), 100..300_usize).prop_map(|(key, rows)| Step::Add { key, rows }),
        2 => key().prop_map(|key| Step::Begin { key }),
        2 => which().prop_map(Step::Commit),
        10 => (1..500_usize).prop_map(|rows| Step::LookAhead { rows }),
        6 => (1..8_usize).prop_map(|rows| Step::LookDue { rows }),
        10 => (1..4_usize).prop_map(|lines| Step::LookBehind { lines }),
        20 => (1..10_usize, 1..40_i64).prop_map(|(count, bytes)| Step::Take { count, bytes }),
        10 => (1..20_usize).prop_map(|behind| Step::TakeRow { behind }),
        10 => (which(), fate()).prop_map(|(sent, last)| Step::EndRow { sent, last }),
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
        2 => (0..16_u64).prop_map(|lanes| Step::Share { lanes }),
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
        let mut world = World::new(ordered, stuck_holds);
        for step in &steps {
            world.step(step);
        }
        world.drain();
    }
}

/// An event of the aggregate with this key.
fn place(id: i64, key: i64) -> Place {
    Place { id, key, size: 1 }
}

#[test]
fn a_hot_aggregate_takes_no_more_than_its_line() {
    let mut queue = Queue::new(true);
    for id in 1..=20_000 {
        queue.see(place(id, 7));
    }
    assert_eq!(queue.known.len(), 1 + LINE);
    assert!(!queue.is_full());
}

#[test]
fn nothing_is_asked_for_behind_an_event_that_failed_until_the_table_knows_of_it() {
    let mut queue = Queue::new(true);
    for id in 1..=200 {
        queue.see(place(id, 7));
    }
    // Until the line is short.
    for _ in 0..120 {
        let published = queue.take(1, 1)[0];
        queue.published(&published);
        queue.settled(&published);
    }
    let failed = queue.take(1, 1)[0];
    queue.failed(&failed);
    assert_eq!(queue.short_lines(10), (Vec::new(), Vec::new()));
    queue.settled(&failed);
    assert!(queue.is_empty(), "{queue:?}");
    queue.see_due(failed);
    assert_eq!(queue.take(10, 10), [failed]);
}

#[test]
fn an_event_that_appears_late_in_a_long_line_comes_next() {
    let mut queue = Queue::new(true);
    for id in 1001..=1200 {
        queue.see(place(id, 7));
    }
    let first = queue.take(1, 1)[0];
    assert!(queue.see(place(1, 7)));
    assert!(!queue.see(place(1201, 7)), "it is looked up when its turn comes");
    queue.published(&first);
    assert_eq!(queue.take(10, 10), [place(1, 7)]);
}

#[test]
fn an_event_that_appears_late_is_not_forgotten_while_its_aggregate_is_held() {
    let mut queue = Queue::new(true);
    queue.see(place(2, 7));
    queue.see(place(3, 7));
    let second = queue.take(1, 1)[0];
    queue.published(&second);
    let third = queue.take(1, 1)[0];
    queue.set_aside(&second);
    queue.see(place(1, 7));
    queue.published(&third);
    queue.settled(&third);
    queue.released(&second);
    queue.lengthen(&[7], Vec::new());
    assert!(queue.is_empty(), "{queue:?}");
    assert!(queue.see(place(1, 7)), "a look finds it again");
    assert_eq!(queue.take(10, 10), [place(1, 7)]);
}

#[test]
fn many_hot_aggregates_that_failed_do_not_fill_it_beyond_its_bound() {
    let aggregates = 2000;
    let mut queue = Queue::new(true);
    for key in 0..aggregates {
        queue.see_due(place(key + 1, key));
    }
    let taken = queue.take(usize::MAX, i64::MAX);
    for place in &taken {
        queue.published(place);
        queue.settled(place);
    }
    let most = 64;
    for _ in 0..aggregates {
        let (keys, _) = queue.short_lines(most);
        let found = keys.iter().flat_map(|&key| {
            let first = 10_000 + key * 1000;
            (first..).take(LINE).map(move |id| place(id, key))
        });
        let found = found.collect();
        queue.lengthen(&keys, found);
    }
    assert!(queue.is_full());
    assert!(queue.known.len() < FULL + most * LINE, "{} are remembered", queue.known.len());
    // And it goes on once there is room.
    let mut published = 0;
    while !queue.is_empty() {
        for place in queue.take(1000, i64::MAX) {
            queue.published(&place);
            queue.settled(&place);
            published += 1;
        }
        let (keys, _) = queue.short_lines(most);
        queue.lengthen(&keys, Vec::new());
    }
    assert!(published >= FULL, "{published}");
}

//! Publishes a batch in rounds: an aggregate's next event is not sent before the one ahead of it is published.

use std::collections::{HashMap, VecDeque};

use crate::broker::Broker;
use crate::claim::Event;
use crate::isolate::isolate;
use crate::message::{Form, Message};
use crate::verdict::Verdict;
use crate::window::{self, End, Patience};

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Published {
    /// One for each event; `None` for an event that was not sent, as the one ahead of it was not published.
    pub(crate) verdicts: Vec<Option<Verdict>>,
    /// Why the broker is lost, if it is.
    pub(crate) lost: Option<String>,
}

/// Publishes `events`, each aggregate's in the order given. No round is begun once `go_on` says no.
pub(crate) async fn publish(
    broker: &mut Broker,
    form: &Form,
    events: &[Event],
    patience: &Patience,
    go_on: impl Fn() -> bool,
) -> Published {
    let mut verdicts: Vec<Option<Verdict>> = events.iter().map(|_| None).collect();
    let mut rounds = Rounds::new(events);
    let mut lost = None;
    while lost.is_none() && go_on() {
        let round = rounds.next_round();
        if round.is_empty() {
            break;
        }
        let (mut sent, mut messages) = (Vec::new(), Vec::new());
        for index in round {
            match form.message(&events[index], broker.frame_max()) {
                Ok(message) => {
                    sent.push(index);
                    messages.push(message);
                }
                Err(reason) => verdicts[index] = Some(Verdict::Impossible(reason)),
            }
        }
        let decided;
        (decided, lost) = send(broker, &messages, patience, &go_on).await;
        for (index, verdict) in sent.into_iter().zip(decided) {
            if verdict == Verdict::Published {
                rounds.published(index);
            }
            verdicts[index] = Some(verdict);
        }
    }
    Published { verdicts, lost }
}

async fn send(
    broker: &mut Broker,
    messages: &[Message],
    patience: &Patience,
    go_on: impl Fn() -> bool,
) -> (Vec<Verdict>, Option<String>) {
    let (mut verdicts, end) = window::send(broker, messages, patience).await;
    let lost = match end {
        End::Whole => None,
        End::Lost(reason) => Some(reason),
        End::ChannelClosed(said) => {
            tracing::warn!(
                said,
                messages = messages.len(),
                "the broker closed the channel over one of the messages: sending them one at a time"
            );
            isolate(broker, messages, &mut verdicts, patience, go_on).await.err()
        }
    };
    (verdicts, lost)
}

/// Which events may be sent next: the first of each aggregate whose last one was published.
struct Rounds<'a> {
    events: &'a [Event],
    behind: HashMap<(&'a str, &'a str), VecDeque<usize>>,
    next: Vec<usize>,
}

impl<'a> Rounds<'a> {
    fn new(events: &'a [Event]) -> Self {
        let mut behind: HashMap<_, VecDeque<usize>> = HashMap::with_capacity(events.len());
        let mut next = Vec::new();
        for (index, event) in events.iter().enumerate() {
            behind
                .entry(aggregate(event))
                .and_modify(|queue| queue.push_back(index))
                .or_insert_with(|| {
                    next.push(index);
                    VecDeque::new()
                });
        }
        Self { events, behind, next }
    }

    fn next_round(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.next)
    }

    /// The event at `index` is published: the one behind it is next.
    fn published(&mut self, index: usize) {
        let behind = self.behind.get_mut(&aggregate(&self.events[index]));
        self.next.extend(behind.and_then(VecDeque::pop_front));
    }
}

fn aggregate(event: &Event) -> (&str, &str) {
    (&event.aggregate_type, &event.aggregate_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::tests::event;

    fn events(aggregates: &[&str]) -> Vec<Event> {
        aggregates
            .iter()
            .map(|&aggregate_id| Event { aggregate_id: aggregate_id.to_owned(), ..event() })
            .collect()
    }

    #[test]
    fn a_round_holds_one_event_of_each_aggregate_whose_last_one_was_published() {
        let events = events(&["a", "b", "a", "c", "b", "a"]);
        let mut rounds = Rounds::new(&events);
        assert_eq!(rounds.next_round(), [0, 1, 3]);
        rounds.published(0);
        rounds.published(3);
        assert_eq!(rounds.next_round(), [2], "b failed, c has no more");
        rounds.published(2);
        assert_eq!(rounds.next_round(), [5]);
        rounds.published(5);
        assert!(rounds.next_round().is_empty());
    }

    #[test]
    fn aggregates_of_different_types_do_not_wait_for_each_other() {
        let mut events = events(&["a", "a"]);
        events[1].aggregate_type = "customer".to_owned();
        assert_eq!(Rounds::new(&events).next_round(), [0, 1]);
    }
}

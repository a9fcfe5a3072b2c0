//! Whether an event has arrived: what follows from all that is known about it.

use super::location::{
    Answer, Consumer, ConsumerState, LocatedEvent, Location, Relay, WaitingQueue,
};
use super::places::DeadLetter;
use crate::commands::event::State;
use crate::publish::stage::Stage;

impl Location {
    /// Decides from all that is known.
    pub(super) fn decide(&mut self) {
        let (answer, because) = self.judge();
        self.answer = answer;
        self.because = because;
    }

    fn judge(&self) -> (Answer, String) {
        let handling: Vec<&Consumer> = self
            .consumers
            .iter()
            .filter(|consumer| consumer.state != ConsumerState::NotHandled)
            .collect();
        if let Some(letter) = self.unreturned_letter() {
            return (Answer::Failed, unreturned(letter));
        }
        let applied = |consumer: &&Consumer| consumer.state == ConsumerState::Applied;
        if !handling.is_empty() && handling.iter().all(applied) {
            return (Answer::Delivered, "all known consumers have applied it".to_owned());
        }
        let Some(LocatedEvent { event, published_age_seconds, .. }) = &self.event else {
            return (Answer::Unknown, self.without_row(&handling));
        };
        let (answer, because) = match event.state {
            State::Published => return self.published(&handling, *published_age_seconds),
            State::Discarded => (Answer::Failed, "a person discarded it"),
            State::Stuck => (Answer::Failed, "no relay tries it again: retry, edit or discard it"),
            State::Parked => (Answer::Failed, "its writer parked it: retry publishes it"),
            State::Waiting => (Answer::OnItsWay, "it failed, and is tried again"),
            State::Scheduled => (Answer::OnItsWay, "it is scheduled for later"),
            State::Behind if self.is_behind_stuck => {
                (Answer::Failed, "an earlier event of its aggregate is stuck")
            }
            State::Behind => {
                (Answer::OnItsWay, "an earlier event of its aggregate failed, and is tried again")
            }
            State::Ready if self.is_unsettled => (
                Answer::OnItsWay,
                "the broker has confirmed it; its row can't be changed for now (locked, or refused)",
            ),
            State::Ready if !self.pauses.is_empty() => (Answer::OnItsWay, "it is paused"),
            State::Ready if self.relay.is_some() => {
                return (Answer::OnItsWay, self.of_relay(event.attempts));
            }
            // One that has lost the broker connects again by itself.
            State::Ready if !self.idle_relays.is_empty() => {
                return (Answer::OnItsWay, self.without_relay());
            }
            State::Ready => (Answer::Failed, "no relay is at work on its lane: start one"),
        };
        (answer, because.to_owned())
    }

    /// What the relay that has the lane of a due event says of it.
    fn of_relay(&self, attempts: i32) -> String {
        match (&self.relay, self.stage) {
            (Some(relay), Some(Stage::InFlight)) => {
                format!(
                    "relay {relay} has sent it and waits for the broker's confirm, or to note it"
                )
            }
            (Some(relay), Some(Stage::NotSent)) if attempts > 0 => {
                format!("relay {relay} has not sent it again yet")
            }
            (Some(relay), Some(Stage::NotSent)) => format!("relay {relay} has not sent it yet"),
            (Some(relay), Some(Stage::InDoubt)) => format!(
                "relay {relay} had sent it when it lost the broker: it may have arrived, and is sent again"
            ),
            _ => "a relay has sent it, or sends it next".to_owned(),
        }
    }

    /// Why no relay has the lane of a due event, although some are at work.
    fn without_relay(&self) -> String {
        let relays: Vec<String> = self.idle_relays.iter().map(Relay::to_string).collect();
        let sent = match self.stage {
            Some(Stage::InFlight | Stage::InDoubt) => "it was sent before, and may have arrived",
            Some(Stage::NotSent) | None => "whether it was sent before is unknown",
        };
        format!("no relay can publish it for now, and {sent}: {}", relays.join(", "))
    }

    fn published(&self, handling: &[&Consumer], age_seconds: Option<f64>) -> (Answer, String) {
        if handling.is_empty() {
            let because = if self.consumers.is_empty() {
                "it is published; no consumer's inbox is known"
            } else {
                "it is published; no known consumer handles events of its type"
            };
            return (Answer::Delivered, because.to_owned());
        }
        let missing: Vec<&&Consumer> = handling
            .iter()
            .filter(|consumer| consumer.state == ConsumerState::NotApplied)
            .collect();
        let seconds = |consumer: &Consumer| match self.returned_to(consumer) {
            // It has its tries again.
            Some(letter) => letter.settled_age_seconds,
            None => age_seconds,
        };
        let late = missing.iter().find(|consumer| {
            seconds(consumer).is_none_or(|seconds| seconds > consumer.longest_retry)
        });
        if let Some(unknown) = self.unknown(handling) {
            // Within its time a consumer's own queue is where the event should be.
            return match late {
                None if self.all_are_readable(handling) => self.on_its_way(),
                _ => (Answer::Unknown, unknown),
            };
        }
        match late {
            None => self.on_its_way(),
            Some(consumer) => {
                let name = &consumer.name;
                let because = match self.returned_to(consumer) {
                    Some(letter) => format!(
                        "dead letter {} was returned, and {name} has not applied it",
                        letter.id
                    ),
                    None => format!("{name} has not applied it, and no dead letter tells why"),
                };
                (Answer::Failed, because)
            }
        }
    }

    fn on_its_way(&self) -> (Answer, String) {
        let returning = self.dead_letters.iter().find(|letter| letter.state == "returning");
        match returning {
            Some(letter) => {
                let because = format!(
                    "dead letter {} is being returned, or a return was interrupted: return it again",
                    letter.id
                );
                (Answer::Unknown, because)
            }
            None => (Answer::OnItsWay, "it is published, and not applied by all yet".to_owned()),
        }
    }

    /// Of an event that is no more in the outbox not even the type is known.
    fn without_row(&self, handling: &[&Consumer]) -> String {
        let names = |state: &ConsumerState| {
            let names = handling.iter().filter(|consumer| consumer.state == *state);
            names.map(|consumer| consumer.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let absent = "it is not in the outbox: it never was, or it was published and deleted";
        let applied = names(&ConsumerState::Applied);
        if applied.is_empty() {
            return absent.to_owned();
        }
        let others = names(&ConsumerState::NotApplied);
        format!(
            "{absent}; {applied} has applied it, and {others} has not, or handles no such events"
        )
    }

    fn all_are_readable(&self, handling: &[&Consumer]) -> bool {
        let unreadable = |consumer: &&Consumer| matches!(consumer.state, ConsumerState::Unknown(_));
        self.dead_letters_unknown.is_none() && !handling.iter().any(unreadable)
    }

    /// Why the answer is unknown, if it is.
    fn unknown(&self, handling: &[&Consumer]) -> Option<String> {
        if let Some(reason) = &self.dead_letters_unknown {
            return Some(reason.clone());
        }
        handling.iter().find_map(|consumer| match &consumer.state {
            ConsumerState::Unknown(reason) => Some(reason.clone()),
            _ => consumer.waiting.first().map(WaitingQueue::sentence),
        })
    }

    /// The latest dead letter of a queue, unless it was returned or its consumer has applied the
    /// event.
    fn unreturned_letter(&self) -> Option<&DeadLetter> {
        self.dead_letters.iter().find(|letter| {
            let of_queue = |consumer: &&Consumer| {
                consumer.dead_letter_queue.as_deref() == Some(letter.queue.as_str())
            };
            let consumer = self.consumers.iter().find(of_queue);
            let is_applied =
                consumer.is_some_and(|consumer| consumer.state == ConsumerState::Applied);
            !is_applied && matches!(letter.state.as_str(), "open" | "discarded")
        })
    }

    /// The latest dead letter of a consumer, if it was returned.
    fn returned_to(&self, consumer: &Consumer) -> Option<&DeadLetter> {
        let queue = consumer.dead_letter_queue.as_deref()?;
        self.dead_letters.iter().find(|letter| letter.queue == queue && letter.state == "returned")
    }
}

fn unreturned(letter: &DeadLetter) -> String {
    let DeadLetter { id, queue, .. } = letter;
    if letter.state == "discarded" {
        format!("dead letter {id} of {queue} was discarded")
    } else {
        format!("it is dead letter {id} of {queue}: return or discard it")
    }
}

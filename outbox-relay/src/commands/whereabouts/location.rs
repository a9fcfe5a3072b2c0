//! Where an event is: what each place says of it, and what follows from that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::inbox_reader::InboxReader;
use super::inboxes::Inbox;
use super::places::{DeadLetter, Desk, Uncollected};
use crate::commands::event::{Event, State};
use crate::commands::outcome::Outcome;
use crate::commands::paused::ActivePause;

/// A relay that has the lane of a due event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Relay {
    pub(super) pid: i32,
    pub(super) name: Option<String>,
    #[serde(skip_serializing)]
    pub(super) lanes: Vec<u8>,
}

/// An event with its lane.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LocatedEvent {
    #[serde(flatten)]
    pub(super) event: Event,
    #[serde(default, skip_serializing)]
    pub(super) lane: Option<u8>,
    #[serde(default, skip_serializing)]
    pub(super) published_age_seconds: Option<f64>,
}

/// What a consumer has done with an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ConsumerState {
    Applied,
    NotApplied,
    /// It handles no events of this type.
    NotHandled,
    /// Its inbox can't be read, for this reason.
    Unknown(String),
}

/// A consumer and what it has done.
#[derive(Debug, Serialize)]
pub(super) struct Consumer {
    pub(super) name: String,
    pub(super) state: ConsumerState,
    /// The dead-letter queue from which nobody has collected yet, and how many messages it holds or
    /// why that is unknown, if the event may be among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uncollected: Option<(String, Result<u32, String>)>,
    /// Whether it has had the time to apply the event.
    #[serde(skip)]
    is_late: bool,
    #[serde(skip)]
    dead_letter_queue: Option<String>,
}

/// Whether an event has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// All known consumers of its type have applied it, or it is published and none is known.
    Delivered,
    /// Nothing is wrong, but it is not there yet.
    OnItsWay,
    /// A place where it may be can't be read, or holds messages that nobody has looked at.
    Unknown,
    /// It does not arrive unless a person does something.
    Failed,
}

impl Answer {
    pub(super) const fn outcome(self) -> Outcome {
        match self {
            Self::Delivered => Outcome::Ok,
            Self::OnItsWay => Outcome::OnItsWay,
            Self::Unknown => Outcome::Unknown,
            Self::Failed => Outcome::Problems,
        }
    }
}

/// What is known about an event.
#[derive(Debug, Serialize)]
pub(super) struct Location {
    pub(super) event_id: Uuid,
    /// The answer, and why it is that one.
    pub(super) answer: Answer,
    pub(super) because: String,
    /// Its row, or the copy of the row in the audit table. None: it never existed, or was published
    /// and deleted.
    pub(super) event: Option<LocatedEvent>,
    /// Other events of the transaction that wrote it.
    pub(super) written_with: Vec<Uuid>,
    /// The pauses that keep it back.
    pub(super) pauses: Vec<ActivePause>,
    /// The relay that publishes it next or has sent it, if it is due.
    pub(super) relay: Option<Relay>,
    pub(super) consumers: Vec<Consumer>,
    pub(super) dead_letters: Vec<DeadLetter>,
    /// Why dead letters were not looked for.
    pub(super) dead_letters_unknown: Option<String>,
}

/// The places beside the outbox, as far as they could be opened.
pub(super) struct Places<'a> {
    pub(super) uncollected: Uncollected,
    pub(super) inboxes: Vec<(&'a Inbox, Result<InboxReader, String>)>,
    pub(super) desk: Result<Option<Desk>, String>,
}

impl Places<'_> {
    /// Asks each consumer about an event. `published_seconds` is how long ago it was published.
    pub(super) async fn ask_consumers(
        &self,
        event_id: Uuid,
        event_type: Option<&str>,
        published_seconds: Option<f64>,
    ) -> Vec<Consumer> {
        let mut consumers = Vec::new();
        for (inbox, reader) in &self.inboxes {
            // Without a row the type is unknown: each may have applied it.
            let state = if event_type.is_some_and(|event_type| !inbox.handles(event_type)) {
                ConsumerState::NotHandled
            } else {
                match reader {
                    Err(reason) => ConsumerState::Unknown(reason.clone()),
                    Ok(reader) => match reader.applied(&[event_id]).await {
                        Err(error) => ConsumerState::Unknown(format!("{error:#}")),
                        Ok(applied) if applied.is_empty() => ConsumerState::NotApplied,
                        Ok(_) => ConsumerState::Applied,
                    },
                }
            };
            let queue = inbox.dead_letter_queue.as_ref();
            let uncollected = queue
                .filter(|_| state == ConsumerState::NotApplied)
                .and_then(|queue| Some((queue.clone(), self.uncollected.get(queue)?.clone())))
                .filter(|(_, messages)| *messages != Ok(0));
            let longest = inbox.longest_retry.as_secs_f64();
            consumers.push(Consumer {
                name: inbox.name.clone(),
                state,
                uncollected,
                is_late: published_seconds.is_none_or(|seconds| seconds > longest),
                dead_letter_queue: inbox.dead_letter_queue.clone(),
            });
        }
        consumers
    }
}

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
        let Some(LocatedEvent { event, .. }) = &self.event else {
            return self.without_row(&handling);
        };
        match event.state {
            State::Discarded => (Answer::Failed, "a person discarded it".to_owned()),
            State::Stuck => {
                (Answer::Failed, "no relay tries it again: retry, edit or discard it".to_owned())
            }
            State::Published => self.published(&handling),
            State::Parked => (Answer::OnItsWay, "it is parked: retry publishes it".to_owned()),
            State::Waiting => (Answer::OnItsWay, "it failed, and is tried again".to_owned()),
            State::Scheduled => (Answer::OnItsWay, "it is scheduled for later".to_owned()),
            State::Behind => {
                (Answer::OnItsWay, "an earlier event of its aggregate is ahead".to_owned())
            }
            State::Ready if !self.pauses.is_empty() => {
                (Answer::OnItsWay, "it is paused".to_owned())
            }
            State::Ready => match &self.relay {
                Some(_) => (Answer::OnItsWay, "a relay has sent it, or sends it next".to_owned()),
                None => (Answer::OnItsWay, "no relay is at work on its lane".to_owned()),
            },
        }
    }

    fn published(&self, handling: &[&Consumer]) -> (Answer, String) {
        if handling.is_empty() {
            let because = match self.consumers.is_empty() {
                true => "it is published; no consumer's inbox is known",
                false => "it is published; no known consumer handles events of its type",
            };
            return (Answer::Delivered, because.to_owned());
        }
        if let Some(unknown) = self.unknown(handling) {
            return (Answer::Unknown, unknown);
        }
        let missing =
            handling.iter().filter(|consumer| consumer.state == ConsumerState::NotApplied);
        let late = missing.clone().find(|consumer| consumer.is_late);
        match late.filter(|consumer| self.returned_to(consumer).is_none()) {
            Some(consumer) => {
                let name = &consumer.name;
                (Answer::Failed, format!("{name} has not applied it, and no dead letter tells why"))
            }
            None => (Answer::OnItsWay, "it is published, and not applied by all yet".to_owned()),
        }
    }

    fn without_row(&self, handling: &[&Consumer]) -> (Answer, String) {
        let some_applied = handling.iter().any(|consumer| consumer.state == ConsumerState::Applied);
        if some_applied {
            let because = "it is no more in the outbox; some consumers have applied it";
            return (Answer::Delivered, because.to_owned());
        }
        let because = "it is not in the outbox: it never was, or it was published and deleted";
        match self.unknown(handling) {
            Some(unknown) => (Answer::Unknown, format!("{because}; {unknown}")),
            None => (Answer::Failed, because.to_owned()),
        }
    }

    /// Why the answer is unknown, if it is.
    fn unknown(&self, handling: &[&Consumer]) -> Option<String> {
        if let Some(reason) = &self.dead_letters_unknown {
            return Some(reason.clone());
        }
        handling.iter().find_map(|consumer| match (&consumer.state, &consumer.uncollected) {
            (ConsumerState::Unknown(reason), _) => Some(reason.clone()),
            (_, Some((queue, Ok(messages)))) => Some(format!(
                "{queue} holds {messages} messages that nobody has collected: it may be one of them"
            )),
            (_, Some((queue, Err(reason)))) => {
                Some(format!("whether {queue} holds messages is unknown: {reason}"))
            }
            _ => None,
        })
    }

    /// The latest dead letter, unless it was returned or its consumer has applied the event.
    fn unreturned_letter(&self) -> Option<&DeadLetter> {
        self.latest_letters().into_values().find(|letter| {
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
        self.latest_letters().remove(queue).filter(|letter| letter.state.starts_with("return"))
    }

    /// The latest dead letter of each queue.
    fn latest_letters(&self) -> BTreeMap<&str, &DeadLetter> {
        // They are in descending order.
        self.dead_letters.iter().rev().map(|letter| (letter.queue.as_str(), letter)).collect()
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

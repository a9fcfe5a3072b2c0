//! The location of an event: what each place knows about it, and the answer that follows.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::inbox_reader::InboxReader;
use super::inboxes::Inbox;
use super::places::{DeadLetter, Depths, Desk};
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

/// An event's row with its lane.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LocatedEvent {
    #[serde(flatten)]
    pub(super) event: Event,
    #[serde(default, skip_serializing)]
    pub(super) lane: Option<u8>,
    #[serde(default, skip_serializing)]
    pub(super) published_age_seconds: Option<f64>,
}

/// What a consumer's inbox says about an event.
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

/// A consumer's state of an event.
#[derive(Debug, Serialize)]
pub(super) struct Consumer {
    pub(super) name: String,
    pub(super) state: ConsumerState,
    /// The consumer's queues that may hold the event: not empty, or of unknown depth.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) waiting: Vec<WaitingQueue>,
    /// How many seconds it may go on trying an event.
    #[serde(skip)]
    longest_retry: f64,
    #[serde(skip)]
    dead_letter_queue: Option<String>,
}

/// A queue of a consumer that is not known to be empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct WaitingQueue {
    pub(super) queue: String,
    pub(super) is_dead_letter_queue: bool,
    /// The number of ready messages. None: unknown.
    pub(super) messages: Option<u32>,
    /// Why the number is unknown.
    pub(super) reason: Option<String>,
}

/// Whether an event has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// All known consumers of its type have applied it, or it is published and none is known.
    Delivered,
    /// Nothing is wrong, but it has not arrived yet.
    OnItsWay,
    /// A place where it may be can't be read, or holds uncollected messages of which it may be one.
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
    /// Other events that the same transaction wrote, those with the nearest ids.
    pub(super) written_with: Vec<Uuid>,
    /// Whether the event that it waits behind is stuck.
    #[serde(skip)]
    pub(super) is_behind_stuck: bool,
    /// The pauses that keep it back.
    pub(super) pauses: Vec<ActivePause>,
    /// The relay that holds its lane, if the event is due.
    pub(super) relay: Option<Relay>,
    pub(super) consumers: Vec<Consumer>,
    pub(super) dead_letters: Vec<DeadLetter>,
    /// Why dead letters were not looked for.
    pub(super) dead_letters_unknown: Option<String>,
}

/// The places beside the outbox, as far as they could be opened.
pub(super) struct Places<'a> {
    pub(super) depths: Depths,
    pub(super) inboxes: Vec<(&'a Inbox, Result<InboxReader, String>)>,
    pub(super) desk: Result<Option<Desk>, String>,
}

impl Places<'_> {
    /// Asks each consumer about an event.
    pub(super) async fn ask_consumers(
        &self,
        event_id: Uuid,
        event_type: Option<&str>,
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
            let waiting = match state {
                ConsumerState::NotApplied => waiting_queues(inbox, &self.depths),
                _ => Vec::new(),
            };
            consumers.push(Consumer {
                name: inbox.name.clone(),
                state,
                waiting,
                longest_retry: inbox.longest_retry.as_secs_f64(),
                dead_letter_queue: inbox.dead_letter_queue.clone(),
            });
        }
        consumers
    }
}

/// Returns the queues of a consumer that are not known to be empty.
pub(super) fn waiting_queues(inbox: &Inbox, depths: &Depths) -> Vec<WaitingQueue> {
    let queues = [(&inbox.queue, false), (&inbox.dead_letter_queue, true)];
    let mut waiting = Vec::new();
    for (queue, is_dead_letter_queue) in queues {
        let Some(queue) = queue else { continue };
        let (messages, reason) = match depths.get(queue) {
            Some(Ok(0)) | None => continue,
            Some(Ok(messages)) => (Some(*messages), None),
            Some(Err(reason)) => (None, Some(reason.clone())),
        };
        waiting.push(WaitingQueue { queue: queue.clone(), is_dead_letter_queue, messages, reason });
    }
    waiting
}

impl WaitingQueue {
    /// Returns a sentence that says why the event may be in this queue.
    pub(super) fn sentence(&self) -> String {
        let Self { queue, is_dead_letter_queue, messages, reason } = self;
        match (messages, reason) {
            (Some(messages), _) if *is_dead_letter_queue => {
                format!(
                    "{queue} holds {messages} messages that nobody has collected: it may be one of them"
                )
            }
            (Some(messages), _) => {
                format!("{queue} holds {messages} messages: it may be one of them")
            }
            (None, reason) => {
                let reason = reason.as_deref().unwrap_or_default();
                format!("whether {queue} holds messages is unknown: {reason}")
            }
        }
    }
}

impl Location {
    /// Derives the answer from everything that is known.
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
            State::Ready if !self.pauses.is_empty() => (Answer::OnItsWay, "it is paused"),
            State::Ready if self.relay.is_some() => {
                (Answer::OnItsWay, "a relay has sent it, or sends it next")
            }
            State::Ready => (Answer::Failed, "no relay is at work on its lane: start one"),
        };
        (answer, because.to_owned())
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
            // A returned event has all its tries again, counted from its return.
            Some(letter) => letter.settled_age_seconds,
            None => age_seconds,
        };
        let late = missing.iter().find(|consumer| {
            seconds(consumer).is_none_or(|seconds| seconds > consumer.longest_retry)
        });
        if let Some(unknown) = self.unknown(handling) {
            // Within `longest_retry` the event is expected in the consumer's queue.
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

    /// Describes an event that is not in the outbox: even its type is unknown.
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

    /// Returns why the answer is unknown, if it is.
    fn unknown(&self, handling: &[&Consumer]) -> Option<String> {
        if let Some(reason) = &self.dead_letters_unknown {
            return Some(reason.clone());
        }
        handling.iter().find_map(|consumer| match &consumer.state {
            ConsumerState::Unknown(reason) => Some(reason.clone()),
            _ => consumer.waiting.first().map(WaitingQueue::sentence),
        })
    }

    /// Returns a queue's latest dead letter of the event, unless it was returned or the queue's
    /// consumer has applied the event.
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

    /// Returns the consumer's latest dead letter of the event, if it was returned.
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

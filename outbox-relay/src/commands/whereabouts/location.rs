//! Where an event is: what each place says of it.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::inbox_reader::InboxReader;
use super::inboxes::Inbox;
use super::places::{DeadLetter, Depths, Desk};
use crate::commands::event::Event;
use crate::commands::outcome::Outcome;
use crate::commands::paused::ActivePause;
use crate::commands::session::Backend;
use crate::publish::stage::Stage;

/// A relay, such as the one that has the lane of a due event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Relay {
    pub(super) pid: i32,
    pub(super) name: Option<String>,
    #[serde(skip_serializing)]
    pub(super) lanes: Vec<u8>,
}

impl Relay {
    /// Whether its session's name says why it can't publish. Such a relay has given up its lanes.
    pub(super) fn cannot_publish(&self) -> bool {
        let name = self.name.as_deref().unwrap_or_default();
        self.lanes.is_empty() && name.starts_with("outbox-relay: ")
    }
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Backend { pid: Some(self.pid), name: self.name.clone() }.fmt(f)
    }
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

/// The later events of its aggregate that an event holds back.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Held {
    /// The first of them.
    #[serde(rename = "holds")]
    pub(super) first: Vec<Uuid>,
    #[serde(rename = "holds_count")]
    pub(super) count: u64,
    /// Whether there may be more than were counted.
    #[serde(rename = "holds_is_capped")]
    pub(super) is_capped: bool,
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
    /// Its queues that hold messages of which the event may be one, or of which that is unknown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) waiting: Vec<WaitingQueue>,
    /// How many seconds it may go on trying an event.
    #[serde(skip)]
    pub(super) longest_retry: f64,
    #[serde(skip)]
    pub(super) dead_letter_queue: Option<String>,
}

/// A queue of a consumer that is not known to be empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct WaitingQueue {
    pub(super) queue: String,
    pub(super) is_dead_letter_queue: bool,
    /// None if that is unknown.
    pub(super) messages: Option<u32>,
    /// Why it is unknown.
    pub(super) reason: Option<String>,
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
    /// Other events of the transaction that wrote it, those next to it.
    pub(super) written_with: Vec<Uuid>,
    /// The events that it holds back.
    #[serde(flatten)]
    pub(super) held: Held,
    /// Whether the event that it waits behind is stuck.
    #[serde(skip)]
    pub(super) is_behind_stuck: bool,
    /// The pauses that keep it back.
    pub(super) pauses: Vec<ActivePause>,
    /// The relay that publishes it next or has sent it, if it is due.
    pub(super) relay: Option<Relay>,
    /// If none has its lane, the relays that can't publish for now.
    #[serde(skip)]
    pub(super) idle_relays: Vec<Relay>,
    /// Whether the broker has confirmed it, and its row can't be changed for now.
    #[serde(skip)]
    pub(super) is_unsettled: bool,
    /// Whether that relay has sent it and waits for the broker's confirm. None: no relay was asked,
    /// or it has not answered, or does not know.
    pub(super) in_flight: Option<bool>,
    /// The answer of the relays that were asked.
    #[serde(skip)]
    pub(super) stage: Option<Stage>,
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
    /// Says why an event may be there.
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

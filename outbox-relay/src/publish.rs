//! Publishes a window of events: one verdict each.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::broker::Publisher;
use crate::claim::Event;
use crate::isolate::isolate;
use crate::message::{Form, Message};
use crate::verdict::Verdict;
use crate::window::{self, End, Patience};

/// What became of a window.
#[derive(Debug)]
pub(crate) struct Published {
    /// Where the next window may go.
    pub(crate) publisher: Publisher,
    pub(crate) events: Vec<Event>,
    /// One for each event.
    pub(crate) verdicts: Vec<Verdict>,
    /// Why the broker is lost, if it is.
    pub(crate) lost: Option<String>,
}

/// Publishes `events`, at most one of each aggregate where order matters. Should each have to be sent by itself, no further
/// one is sent once `stop` is cancelled.
pub(crate) async fn publish(
    mut publisher: Publisher,
    form: Arc<Form>,
    mut events: Vec<Event>,
    patience: Patience,
    stop: CancellationToken,
) -> Published {
    let (mut sent, mut messages) = (Vec::new(), Vec::new());
    let mut verdicts = vec![Verdict::Unknown; events.len()];
    for (index, event) in events.iter_mut().enumerate() {
        match form.message(event, publisher.frame_max()) {
            Ok(message) => {
                sent.push(index);
                messages.push(message);
            }
            Err(reason) => verdicts[index] = Verdict::Impossible(reason),
        }
        event.forget_contents();
    }
    let (decided, lost) = send(&mut publisher, &messages, &patience, &stop).await;
    for (index, verdict) in sent.into_iter().zip(decided) {
        verdicts[index] = verdict;
    }
    Published { publisher, events, verdicts, lost }
}

async fn send(
    publisher: &mut Publisher,
    messages: &[Message],
    patience: &Patience,
    stop: &CancellationToken,
) -> (Vec<Verdict>, Option<String>) {
    let (mut verdicts, end) = window::send(publisher, messages, patience).await;
    let lost = match end {
        End::Whole => None,
        End::Lost(reason) => Some(reason),
        End::ChannelClosed(said) => {
            tracing::warn!(
                said,
                messages = messages.len(),
                "the broker closed the channel over one of the messages: sending them one at a time"
            );
            let go_on = || !stop.is_cancelled();
            isolate(publisher, messages, &mut verdicts, patience, go_on).await.err()
        }
    };
    (verdicts, lost)
}

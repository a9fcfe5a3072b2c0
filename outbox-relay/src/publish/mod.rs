//! Publishes events: one verdict each.
//!
//! | file | what is in it |
//! |---|---|
//! | `dispatcher` | which events go into the next window; after a confirm timeout few (`slow_start`), some by themselves (`quarantine`) |
//! | `load`, `event` | their contents, as the database sends them |
//! | `message`, `headers`, `envelope`, `event_time` | a row as an AMQP message |
//! | `span` | its part in a trace |
//! | `window`, `verdict` | messages that are sent and then confirmed; what became of each |
//! | `isolate`, `refusals` | the message over which the broker closes the channel, and what follows for it |
//! | `sent` | what is or was with the broker |

pub(crate) mod dispatcher;
mod envelope;
pub(crate) mod event;
mod event_time;
mod headers;
pub(crate) mod isolate;
pub(crate) mod load;
pub(crate) mod message;
mod quarantine;
pub(crate) mod refusals;
mod sent;
mod slow_start;
mod span;
pub(crate) mod verdict;
pub(crate) mod window;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use self::event::Event;
use self::isolate::{isolate, reopen};
use self::message::{Form, Message};
use self::verdict::Verdict;
use self::window::{End, Loss, Patience};
use crate::broker::Publisher;
use crate::broker::topology::NOT_FOUND;

/// How long events of one aggregate are sent in a row before the relay looks after them again: whether its lane is still its own, and
/// that they are settled.
const ROW: Duration = Duration::from_millis(50);

/// What became of events.
#[derive(Debug)]
pub(crate) struct Published {
    /// Where the next window may go.
    pub(crate) publisher: Publisher,
    pub(crate) events: Vec<Event>,
    /// One for each event.
    pub(crate) verdicts: Vec<Verdict>,
    /// Those that come after the last of `events`, and were not sent.
    pub(crate) unsent: Vec<Event>,
    /// Why nothing further can be sent to this broker, if that is so.
    pub(crate) lost: Option<Loss>,
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
            Err(reason) => {
                event.trace_id = span::trace_id_of_row(&event.headers);
                verdicts[index] = Verdict::Impossible(reason);
            }
        }
        event.forget_contents();
    }
    let (decided, lost) = send(&mut publisher, &messages, &patience, &stop).await;
    for ((index, verdict), message) in sent.into_iter().zip(decided).zip(&messages) {
        if let Some(span) = &message.span {
            span::end(span, &verdict);
        }
        if matches!(verdict, Verdict::Failed(..)) {
            events[index].trace_id = span::trace_id(message);
        }
        verdicts[index] = verdict;
    }
    Published { publisher, events, verdicts, unsent: Vec::new(), lost }
}

/// Publishes `events`, which follow each other in one aggregate, one when the one ahead is confirmed. No further one is sent behind
/// one that is not published, after a while, and once `stop` is cancelled.
pub(crate) async fn publish_row(
    mut publisher: Publisher,
    form: Arc<Form>,
    events: Vec<Event>,
    patience: Patience,
    stop: CancellationToken,
) -> Published {
    let begun = Instant::now();
    let mut published = Vec::with_capacity(events.len());
    let mut verdicts = Vec::with_capacity(events.len());
    let mut unsent = events.into_iter();
    let mut lost = None;
    for event in unsent.by_ref() {
        let one =
            publish(publisher, Arc::clone(&form), vec![event], patience.clone(), stop.clone());
        let one = one.await;
        publisher = one.publisher;
        published.extend(one.events);
        verdicts.extend(one.verdicts);
        lost = one.lost;
        // A relay that was frozen finds here that it took too long.
        let goes_on = verdicts.last() == Some(&Verdict::Published) && begun.elapsed() < ROW;
        if !goes_on || stop.is_cancelled() {
            break;
        }
    }
    Published { publisher, events: published, verdicts, unsent: unsent.collect(), lost }
}

async fn send(
    publisher: &mut Publisher,
    messages: &[Message],
    patience: &Patience,
    stop: &CancellationToken,
) -> (Vec<Verdict>, Option<Loss>) {
    let (mut verdicts, end) = window::send(publisher, messages, patience).await;
    let lost = match end {
        End::Whole => None,
        End::Lost(loss) => {
            if let (Loss::OverMessage(goodbye), [verdict @ Verdict::Unknown]) =
                (&loss, verdicts.as_mut_slice())
            {
                *verdict = refusals::connection_closed(goodbye);
            }
            Some(loss)
        }
        // Nothing is left to be found out: it went by itself. That the exchange is missing is no message's fault: it is looked at first.
        End::ChannelClosed(goodbye) if messages.len() == 1 && goodbye.code != NOT_FOUND => {
            verdicts[0] = refusals::channel_closed(&goodbye);
            reopen(publisher).await.err()
        }
        End::ChannelClosed(goodbye) => {
            tracing::warn!(
                said = goodbye.said,
                messages = messages.len(),
                "the broker closed the channel over one of the messages: sending them one at a time"
            );
            let go_on = || !stop.is_cancelled();
            isolate(publisher, messages, &mut verdicts, patience, go_on).await.err()
        }
    };
    (verdicts, lost)
}

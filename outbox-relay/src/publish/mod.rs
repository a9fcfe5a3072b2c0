//! Publishes events, and returns one verdict for each.
//!
//! | file | what is in it |
//! |---|---|
//! | `dispatcher` | which events go into the next window |
//! | `slow_start`, `quarantine` | few after a confirm timeout; some apart from all others |
//! | `load`, `event` | their contents, as the database sends them |
//! | `message`, `headers`, `envelope`, `event_time` | a row as an AMQP message |
//! | `properties`, `exchanges`, `payload_encoding` | what a row's reserved headers set of it |
//! | `span` | its part in a trace |
//! | `window`, `verdict` | messages that are sent and then confirmed; the outcome of each |
//! | `isolate`, `refusals` | the message over which the broker closes the channel |
//! | `sent` | events for which a change that a person makes comes too late |
//! | `stage` | how far an event has been sent, as commands are told |

pub(crate) mod dispatcher;
mod envelope;
pub(crate) mod event;
mod event_time;
mod exchanges;
pub(crate) mod headers;
pub(crate) mod isolate;
pub(crate) mod load;
pub(crate) mod message;
mod payload_encoding;
mod properties;
mod quarantine;
pub(crate) mod refusals;
pub(crate) mod sent;
mod slow_start;
mod span;
pub(crate) mod stage;
pub(crate) mod verdict;
pub(crate) mod window;

use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp::CloseReason;
use tokio_util::sync::CancellationToken;

use crate::broker::Publisher;
use crate::broker::topology::NOT_FOUND;
use crate::metrics;
use event::Event;
use isolate::{isolate_poison, reopen};
use message::{Message, MessageBuilder};
use stage::RunProgress;
use verdict::Verdict;
use window::{Deadlines, Loss, WindowEnd};

/// How long a run may take before the loop takes over again, which checks that the lane is still
/// owned and settles the events.
const RUN_TIME: Duration = Duration::from_millis(50);

/// How a window or a run ended.
#[derive(Debug)]
pub(crate) struct Published {
    /// The channel, free again.
    pub(crate) publisher: Publisher,
    /// The events that were sent.
    pub(crate) events: Vec<Event>,
    /// One for each event.
    pub(crate) verdicts: Vec<Verdict>,
    /// The events of a run that come after the last of `events`, and were not sent.
    pub(crate) unsent: Vec<Event>,
    /// Why nothing further can be sent over this connection, if so.
    pub(crate) lost: Option<Loss>,
}

/// Publishes `events`, at most one of each aggregate where order matters. If each has to be sent by
/// itself, no further one is sent once `revoked` is cancelled.
pub(crate) async fn publish(
    mut publisher: Publisher,
    builder: Arc<MessageBuilder>,
    mut events: Vec<Event>,
    deadlines: Deadlines,
    revoked: CancellationToken,
) -> Published {
    let (mut sent, mut messages) = (Vec::new(), Vec::new());
    let mut verdicts = vec![Verdict::Unknown; events.len()];
    for (index, event) in events.iter_mut().enumerate() {
        match builder.build(event, publisher.frame_max()) {
            Ok(message) => {
                sent.push(index);
                messages.push(message);
            }
            Err(reason) => {
                event.trace_id = span::trace_id_of_row(&event.headers);
                verdicts[index] = Verdict::Unpublishable(reason);
            }
        }
        event.forget_contents();
    }
    let (decided, lost) = send(&mut publisher, &messages, &deadlines, &revoked).await;
    let exchanges = messages.iter().map(|message| builder.exchange_of(message));
    metrics::record_by_exchange(exchanges.zip(&decided));
    for ((index, verdict), message) in sent.into_iter().zip(decided).zip(&messages) {
        if let Some(span) = &message.span {
            span::record(span, &verdict);
        }
        if matches!(verdict, Verdict::Failed(..) | Verdict::Unpublishable(_)) {
            events[index].trace_id = span::trace_id(message.wire.content_header.as_slice());
        }
        verdicts[index] = verdict;
    }
    Published { publisher, events, verdicts, unsent: Vec::new(), lost }
}

/// Publishes `events`, which follow each other in one aggregate, each when the one ahead is
/// confirmed, and counts them in `progress`. Ends early behind one that is not published, after
/// [`RUN_TIME`], and once `revoked` is cancelled.
pub(crate) async fn publish_run(
    mut publisher: Publisher,
    builder: Arc<MessageBuilder>,
    events: Vec<Event>,
    deadlines: Deadlines,
    revoked: CancellationToken,
    progress: RunProgress,
) -> Published {
    let begun = Instant::now();
    let mut published = Vec::with_capacity(events.len());
    let mut verdicts = Vec::with_capacity(events.len());
    let mut unsent = events.into_iter();
    let mut lost = None;
    for event in unsent.by_ref() {
        progress.advance();
        let one = publish(
            publisher,
            Arc::clone(&builder),
            vec![event],
            deadlines.clone(),
            revoked.clone(),
        );
        let one = one.await;
        publisher = one.publisher;
        published.extend(one.events);
        verdicts.extend(one.verdicts);
        lost = one.lost;
        // A relay that was frozen ends the run here.
        let goes_on = verdicts.last() == Some(&Verdict::Published) && begun.elapsed() < RUN_TIME;
        if !goes_on || revoked.is_cancelled() {
            break;
        }
    }
    Published { publisher, events: published, verdicts, unsent: unsent.collect(), lost }
}

/// Sends the window; isolates the message over which the broker closed the channel, if so.
async fn send(
    publisher: &mut Publisher,
    messages: &[Message],
    deadlines: &Deadlines,
    revoked: &CancellationToken,
) -> (Vec<Verdict>, Option<Loss>) {
    let (mut verdicts, end) = window::send(publisher, messages, deadlines).await;
    let lost = match end {
        WindowEnd::Complete => None,
        WindowEnd::Lost(loss) => {
            if let (Loss::OverMessage(reason), [verdict @ Verdict::Unknown]) =
                (&loss, verdicts.as_mut_slice())
            {
                *verdict = refusals::connection_closed(reason);
            }
            Some(loss)
        }
        WindowEnd::ChannelClosed(reason) if is_over_single(messages, &reason) => {
            verdicts[0] = refusals::channel_closed(&reason);
            reopen(publisher).await.err()
        }
        WindowEnd::ChannelClosed(reason) => {
            tracing::warn!(
                reason = reason.text,
                messages = messages.len(),
                "the broker closed the channel over one of the messages: sending them one at a time"
            );
            let go_on = || !revoked.is_cancelled();
            isolate_poison(publisher, messages, &mut verdicts, deadlines, go_on).await.err()
        }
    };
    (verdicts, lost)
}

/// Whether the broker closed the channel over a message that went by itself, so that nothing is left
/// to find out. That the relay's own exchange is missing is no message's fault.
fn is_over_single(messages: &[Message], reason: &CloseReason) -> bool {
    match messages {
        [message] => reason.code != NOT_FOUND || message.wire.exchange.is_some(),
        _ => false,
    }
}

//! Finds the message over which the broker closes the channel, by sending each one alone.

use crate::broker::Publisher;
use crate::publish::message::Message;
use crate::publish::refusals;
use crate::publish::verdict::Verdict;
use crate::publish::window::{self, Deadlines, Loss, WindowEnd};

/// Sends each of `messages` whose verdict is unknown by itself. The one over which the broker
/// closes the channel again is charged with a failure; the others get through.
///
/// # Errors
/// Why the broker is lost; what was not sent stays unknown.
pub(crate) async fn isolate_poison(
    publisher: &mut Publisher,
    messages: &[Message],
    verdicts: &mut [Verdict],
    deadlines: &Deadlines,
    go_on: impl Fn() -> bool,
) -> Result<(), Loss> {
    for (message, verdict) in messages.iter().zip(verdicts) {
        if *verdict != Verdict::Unknown || !go_on() {
            continue;
        }
        reopen(publisher).await?;
        let (mut alone, end) =
            window::send(publisher, std::slice::from_ref(message), deadlines).await;
        *verdict = match end {
            WindowEnd::Complete => alone.pop().unwrap_or(Verdict::Unknown),
            WindowEnd::ChannelClosed(reason) => refusals::channel_closed(&reason),
            WindowEnd::Lost(loss) => {
                if let Loss::OverMessage(reason) = &loss {
                    *verdict = refusals::connection_closed(reason);
                }
                return Err(loss);
            }
        };
    }
    reopen(publisher).await
}

/// Opens a new channel in place of one that the broker closed.
///
/// # Errors
/// Why the broker is lost.
pub(crate) async fn reopen(publisher: &mut Publisher) -> Result<(), Loss> {
    if publisher.is_open() {
        return Ok(());
    }
    publisher.reopen().await.map_err(|error| Loss::Connection(format!("{error:#}")))
}

//! Finds the message over which the broker closes the channel, by sending each one alone.

use crate::broker::Publisher;
use crate::publish::message::Message;
use crate::publish::refusals;
use crate::publish::verdict::Verdict;
use crate::publish::window::{self, End, Loss, Patience};

/// Sends each of `messages` of which `verdicts` knows nothing by itself. The one over which the broker closes the
/// channel again is charged with it; the others get through.
///
/// # Errors
/// Why the broker is lost; what was not sent stays unknown.
pub(crate) async fn isolate(
    publisher: &mut Publisher,
    messages: &[Message],
    verdicts: &mut [Verdict],
    patience: &Patience,
    go_on: impl Fn() -> bool,
) -> Result<(), Loss> {
    for (message, verdict) in messages.iter().zip(verdicts) {
        if *verdict != Verdict::Unknown || !go_on() {
            continue;
        }
        reopen(publisher).await?;
        let (mut alone, end) =
            window::send(publisher, std::slice::from_ref(message), patience).await;
        *verdict = match end {
            End::Whole => alone.pop().unwrap_or(Verdict::Unknown),
            End::ChannelClosed(goodbye) => refusals::channel_closed(&goodbye),
            End::Lost(loss) => {
                if let Loss::OverMessage(goodbye) = &loss {
                    *verdict = refusals::connection_closed(goodbye);
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

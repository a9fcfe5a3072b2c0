//! Finds the message over which the broker closes the channel, by sending each one alone.

use crate::broker::Publisher;
use crate::message::Message;
use crate::verdict::{Refusal, Verdict};
use crate::window::{self, End, Patience};

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
) -> Result<(), String> {
    for (message, verdict) in messages.iter().zip(verdicts) {
        if *verdict != Verdict::Unknown || !go_on() {
            continue;
        }
        reopen(publisher).await?;
        let (mut alone, end) =
            window::send(publisher, std::slice::from_ref(message), patience).await;
        *verdict = match end {
            End::Whole => alone.pop().unwrap_or(Verdict::Unknown),
            End::ChannelClosed(said) => {
                let reason = format!("the broker closed the channel over the message: {said}");
                Verdict::Failed(Refusal::Refused, reason)
            }
            End::Lost(reason) => return Err(reason),
        };
    }
    reopen(publisher).await
}

async fn reopen(publisher: &mut Publisher) -> Result<(), String> {
    if publisher.is_open() {
        return Ok(());
    }
    publisher.reopen().await.map_err(|error| format!("{error:#}"))
}

//! Messages over which the broker closes the channel or the connection. Earlier refusals are read
//! from the row's `last_error`: they survive a restart, reach the relay that takes the lane over,
//! and need no column that an older schema lacks.

use amqp::CloseReason;

use crate::publish::verdict::{FailureCause, Verdict};

/// How the reason of every refusal begins.
const PREFIX: &str = "the broker closed the ";

/// After so many refusals over the message itself an event is stuck: waiting does not change it.
const LIMIT: u32 = 3;

/// Reply codes that blame the message itself
/// (<https://www.rabbitmq.com/amqp-0-9-1-reference#constants>): a precondition such as its size, a
/// frame or a field that can't be read, a frame out of place. Not 403 and 404, which are about
/// rights and the exchange.
const OVER_MESSAGE: [u16; 4] = [406, 501, 502, 505];

/// Those of them with which a broker closes the whole connection.
const OVER_FRAMES: [u16; 3] = [501, 502, 505];

/// What `last_error`, the reason of the latest failed attempt, says of earlier refusals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RefusalHistory {
    /// Whether the broker refused the event.
    pub(crate) was_refused: bool,
    /// How many times in a row it did so over the message itself.
    count: u32,
}

impl RefusalHistory {
    /// Reads them from `last_error`.
    pub(crate) fn read(last_error: &str) -> Self {
        let was_refused = last_error.contains(PREFIX);
        let count = last_error.strip_suffix(&format!(" of {LIMIT})"));
        let count = count.and_then(|rest| rest.rsplit_once(" (refusal ")?.1.parse().ok());
        Self { was_refused, count: count.filter(|_| was_refused).unwrap_or(0) }
    }

    /// Adds a refusal over the message itself. Returns the reason to write down, and whether the
    /// event is stuck now.
    pub(crate) fn add(self, reason: &str) -> (String, bool) {
        let count = self.count.saturating_add(1);
        let reason = format!("{reason} (refusal {count} of {LIMIT})");
        if count < LIMIT { (reason, false) } else { (format!("given up: {reason}"), true) }
    }
}

/// The verdict on a message that was sent by itself, over which the broker closed the channel.
pub(crate) fn channel_closed(reason: &CloseReason) -> Verdict {
    refused("channel", reason)
}

/// The same where it closed the whole connection.
pub(crate) fn connection_closed(reason: &CloseReason) -> Verdict {
    refused("connection", reason)
}

/// Whether the broker closes a connection over a message when it gives this reply code.
pub(crate) fn is_over_frames(reason: &CloseReason) -> bool {
    OVER_FRAMES.contains(&reason.code)
}

fn refused(what: &str, CloseReason { code, text }: &CloseReason) -> Verdict {
    let is_over_message = OVER_MESSAGE.contains(code);
    let cause =
        if is_over_message { FailureCause::Unacceptable } else { FailureCause::ChannelClosed };
    Verdict::Failed(cause, format!("{PREFIX}{what} over the message: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: u16) -> Verdict {
        channel_closed(&CloseReason { code, text: "SAID - so".to_owned() })
    }

    #[test]
    fn the_third_refusal_over_the_message_itself_is_enough() {
        let Verdict::Failed(FailureCause::Unacceptable, reason) = refusal(406) else {
            panic!("it is over the message");
        };
        let mut refusals = RefusalHistory::default();
        for (count, prefix) in [(1, ""), (2, ""), (3, "given up: "), (4, "given up: ")] {
            let (noted, is_stuck) = refusals.add(&reason);
            let expected = "the broker closed the channel over the message: SAID - so";
            assert_eq!(noted, format!("{prefix}{expected} (refusal {count} of 3)"));
            assert_eq!(is_stuck, count >= 3);
            refusals = RefusalHistory::read(&noted);
            assert_eq!(refusals, RefusalHistory { was_refused: true, count });
        }
    }

    #[test]
    fn a_refusal_over_rights_or_the_exchange_is_remembered_and_not_counted() {
        for code in [403, 404] {
            let Verdict::Failed(FailureCause::ChannelClosed, reason) = refusal(code) else {
                panic!("{code} is not over the message");
            };
            assert_eq!(
                RefusalHistory::read(&reason),
                RefusalHistory { was_refused: true, count: 0 }
            );
        }
    }

    #[test]
    fn other_reasons_are_no_refusals() {
        for other in ["", "no queue is bound", "(refusal 2 of 3)", "a nack (refusal 2 of 3)"] {
            assert_eq!(RefusalHistory::read(other), RefusalHistory::default(), "{other}");
        }
    }
}

//! In which way an event failed.

use crate::publish::verdict::{FailureCause, Verdict};

/// In which way an event failed: where an operator begins to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ErrorKind {
    /// The broker returned the message: a binding is missing.
    Returned,
    /// The broker nacked the message: a queue is full or has no leader.
    Nacked,
    /// The broker closed the channel or the connection over the message: rights, the exchange, or
    /// the message itself.
    Refused,
    /// The row can't be a message: its writer is to blame.
    Unpublishable,
    /// The outcome is known, and the database does not let it be written into the row: somebody
    /// holds its lock, or a trigger or a policy refuses.
    Unsettled,
}

impl ErrorKind {
    /// All kinds.
    pub(crate) const ALL: [Self; 5] =
        [Self::Returned, Self::Nacked, Self::Refused, Self::Unpublishable, Self::Unsettled];

    /// The kinds that relays write into `error_kind`. They can't change the row of an unsettled
    /// event.
    pub(crate) const STORED: [Self; 4] =
        [Self::Returned, Self::Nacked, Self::Refused, Self::Unpublishable];

    /// The kind of a failed attempt; `None` for a verdict that is no failure. Those that can't be
    /// settled have no verdict: `outbox_unsettled` lists them.
    pub(crate) const fn of(verdict: &Verdict) -> Option<Self> {
        match verdict {
            Verdict::Failed(FailureCause::Returned, _) => Some(Self::Returned),
            Verdict::Failed(FailureCause::Nacked, _) => Some(Self::Nacked),
            Verdict::Failed(FailureCause::ChannelClosed | FailureCause::Unacceptable, _) => {
                Some(Self::Refused)
            }
            Verdict::Unpublishable(_) => Some(Self::Unpublishable),
            Verdict::Published | Verdict::Unknown => None,
        }
    }

    /// The kind as it is stored and shown. It never changes: rows, URLs and scripts have it.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Nacked => "nacked",
            Self::Refused => "refused",
            Self::Unpublishable => "unpublishable",
            Self::Unsettled => "unsettled",
        }
    }

    /// The usual remedy for failures of this kind, as `failures` prints it for the operator.
    pub(crate) const fn remedy(self) -> &'static str {
        match self {
            Self::Returned => {
                "Bind a queue for this type to the exchange. Events that wait go by themselves, stuck ones after `retry`. If nobody needs them, discard them."
            }
            Self::Nacked => {
                "Make room in the queue that refuses, or give it its majority of members back. Events that wait go by \
                 themselves, stuck ones after `retry`."
            }
            Self::Refused => {
                "Give the relay's user the right to write, make the exchange, or raise the broker's limit, as the reason \
                 says; then `retry`. If the event itself is wrong, `edit` or `discard` it."
            }
            Self::Unpublishable => {
                "The event can't be a message: mend the service that writes it, then `edit` or `discard` the event."
            }
            Self::Unsettled => {
                "The broker has these; their rows can't be changed. End the transaction that has them locked, or mend the \
                 trigger or policy that refuses: the relays then mark them by themselves."
            }
        }
    }

    /// Reads what [`text`](Self::text) wrote; `None` for anything else, such as a kind of a later
    /// release.
    pub(crate) fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.text() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_read_as_it_was_written() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::read(kind.text()), Some(kind));
        }
        assert_eq!(ErrorKind::read("Returned"), None);
    }

    /// Where both have a word for it, the metrics' label is the same.
    #[test]
    fn a_failed_attempt_has_the_kind_that_metrics_count_it_under() {
        for cause in [
            FailureCause::Returned,
            FailureCause::Nacked,
            FailureCause::ChannelClosed,
            FailureCause::Unacceptable,
        ] {
            let kind = ErrorKind::of(&Verdict::Failed(cause, String::new()));
            assert_eq!(kind.map(ErrorKind::text), Some(cause.label()));
        }
        let unpublishable = Verdict::Unpublishable(String::new());
        assert_eq!(ErrorKind::of(&unpublishable), Some(ErrorKind::Unpublishable));
        assert_eq!(ErrorKind::of(&Verdict::Published), None);
        assert_eq!(ErrorKind::of(&Verdict::Unknown), None);
    }
}

//! The confirms of one window of messages (<https://www.rabbitmq.com/docs/confirms>).

use std::collections::HashMap;

use super::message::Message;

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The broker has taken responsibility for it.
    Confirmed,
    /// The broker could not take it (`basic.nack`).
    Nacked,
    /// The broker returned it: no queue is bound for it, or none can take it.
    Returned(Return),
}

/// Why a message was returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Return {
    /// See <https://www.rabbitmq.com/amqp-0-9-1-reference#constants>.
    pub reply_code: u16,
    /// The same in words.
    pub reply_text: String,
    /// The routing key that it was published with.
    pub routing_key: String,
}

/// The state of the messages of one window.
#[derive(Debug, Default)]
pub(super) struct Confirms {
    /// The delivery tag of the window's first message; each channel counts from 1.
    first: u64,
    /// For each message: confirmed (`true`), nacked (`false`), or neither yet.
    told: Vec<Option<bool>>,
    /// The first message that is neither confirmed nor nacked yet.
    low: usize,
    missing: usize,
    /// By `message_id`. RabbitMQ returns a message before it confirms it.
    returned: HashMap<String, Return>,
}

impl Confirms {
    /// Begins a window of `count` messages.
    pub(super) fn begin(&mut self, count: usize) {
        self.first = (self.first + self.told.len() as u64).max(1);
        self.told.clear();
        self.told.resize(count, None);
        self.low = 0;
        self.missing = count;
        self.returned.clear();
    }

    /// Returns true if each message is confirmed or nacked.
    pub(super) const fn are_complete(&self) -> bool {
        self.missing == 0
    }

    /// Records a confirm or nack of the message `tag`, or of all up to it if `multiple`.
    pub(super) fn record(&mut self, tag: u64, multiple: bool, confirmed: bool) {
        // 0 means all messages so far (AMQP 0-9-1 specification, `basic.ack`).
        let tag = if multiple && tag == 0 { u64::MAX } else { tag };
        let Some(last) = tag.checked_sub(self.first) else {
            return;
        };
        let last = usize::try_from(last).unwrap_or(usize::MAX);
        let begin = if multiple { self.low } else { last };
        let end = last.saturating_add(1).min(self.told.len());
        for told in self.told.get_mut(begin..end).unwrap_or_default() {
            if told.is_none() {
                *told = Some(confirmed);
                self.missing -= 1;
            }
        }
        while self.told.get(self.low).is_some_and(Option::is_some) {
            self.low += 1;
        }
    }

    /// Records a returned message. Returns false if more messages came back than were sent.
    pub(super) fn record_return(&mut self, message_id: String, why: Return) -> bool {
        self.returned.insert(message_id, why);
        self.returned.len() <= self.told.len()
    }

    /// Returns the outcome of each of `messages`, in their order; `None` where it is unknown. Of
    /// several with the same `message_id`, or with none, all count as returned if one was: the
    /// broker does not say which.
    pub(super) fn outcomes(&self, messages: &[impl AsRef<Message>]) -> Vec<Option<Outcome>> {
        let outcome = |(message, told): (&Message, &Option<bool>)| {
            let confirmed = (*told)?;
            Some(match self.returned.get(&message.message_id) {
                Some(why) => Outcome::Returned(why.clone()),
                None if confirmed => Outcome::Confirmed,
                None => Outcome::Nacked,
            })
        };
        messages.iter().map(AsRef::as_ref).zip(&self.told).map(outcome).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn messages(count: usize) -> Vec<Message> {
        let message = |n: usize| Message {
            message_id: n.to_string(),
            exchange: None,
            routing_key: "order.created".into(),
            content_header: Vec::new(),
            body: bytes::Bytes::new(),
        };
        (0..count).map(message).collect()
    }

    fn no_route() -> Return {
        let routing_key = "order.created".to_owned();
        Return { reply_code: 312, reply_text: "NO_ROUTE".to_owned(), routing_key }
    }

    #[test]
    fn a_returned_message_is_neither_confirmed_nor_nacked_whichever_follows() {
        let mut confirms = Confirms::default();
        confirms.begin(3);
        assert!(confirms.record_return("0".to_owned(), no_route()));
        assert!(confirms.record_return("2".to_owned(), no_route()));
        confirms.record(1, false, true);
        confirms.record(2, false, false);
        assert!(!confirms.are_complete());
        let outcomes = confirms.outcomes(&messages(3));
        assert_eq!(outcomes, [Some(Outcome::Returned(no_route())), Some(Outcome::Nacked), None]);
    }

    #[test]
    fn of_messages_with_the_same_id_none_counts_as_confirmed_when_one_was_returned() {
        let mut confirms = Confirms::default();
        confirms.begin(2);
        assert!(confirms.record_return("0".to_owned(), no_route()));
        assert!(confirms.record_return("0".to_owned(), no_route()));
        confirms.record(2, true, true);
        let [one, _] = messages(2).try_into().expect("two");
        let returned = Some(Outcome::Returned(no_route()));
        assert_eq!(confirms.outcomes(&[one.clone(), one]), [returned.clone(), returned]);
    }

    #[test]
    fn what_was_returned_in_one_window_is_none_of_the_next_ones_business() {
        let mut confirms = Confirms::default();
        confirms.begin(1);
        assert!(confirms.record_return("0".to_owned(), no_route()));
        confirms.record(1, false, true);
        confirms.begin(1);
        confirms.record(1, false, true);
        assert!(!confirms.are_complete(), "told of the window before");
        confirms.record(2, false, true);
        assert_eq!(confirms.outcomes(&messages(1)), [Some(Outcome::Confirmed)]);
    }

    #[test]
    fn a_broker_can_not_return_more_than_was_sent() {
        let mut confirms = Confirms::default();
        confirms.begin(1);
        assert!(confirms.record_return("0".to_owned(), no_route()));
        assert!(!confirms.record_return("1".to_owned(), no_route()));
    }

    /// Confirms and nacks: the delivery tag, whether it covers all before it, and whether it
    /// confirms.
    fn sayings() -> impl Strategy<Value = Vec<(u64, bool, bool)>> {
        prop::collection::vec((0..40_u64, any::<bool>(), any::<bool>()), 0..60)
    }

    proptest! {
        #[test]
        fn each_message_is_what_was_said_of_it_first(windows in prop::collection::vec((0..20_usize, sayings()), 1..4)) {
            let mut confirms = Confirms::default();
            let mut before = 0;
            for (count, sayings) in windows {
                confirms.begin(count);
                let own = before + 1..before + 1 + count as u64;
                let mut expected: Vec<Option<Outcome>> = vec![None; count];
                for (tag, multiple, confirmed) in sayings {
                    confirms.record(tag, multiple, confirmed);
                    let meant = |own: u64| own == tag || multiple && (own < tag || tag == 0);
                    for (number, expected) in own.clone().zip(&mut expected) {
                        if meant(number) && expected.is_none() {
                            *expected = Some(if confirmed { Outcome::Confirmed } else { Outcome::Nacked });
                        }
                    }
                }
                prop_assert_eq!(confirms.are_complete(), expected.iter().all(Option::is_some));
                prop_assert_eq!(confirms.outcomes(&messages(count)), expected);
                before += count as u64;
            }
        }
    }
}

//! What the fuzzer calls: `fuzz/` in the repository.

use amqp::{Delivery, Message as Copied};
use time::OffsetDateTime;
use uuid::Uuid;

use super::config::SubscriptionArgs;
use super::message::{Message, Parsed};
use super::redirect::{self, Redirect};
use super::retry_policy::{FailureKind, shortened_ttl};
use super::spans::trace_id;
use super::{headers, message_copy};

/// What the consumer reads in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An order to count: the event's id and the customer's.
    Order(Uuid, Uuid),
    /// An event of a type that is not counted.
    Ignored,
    /// A message that can never be processed, and why.
    Malformed(String),
}

/// Parses a message.
#[must_use]
pub fn parse(delivery: Delivery) -> (Delivery, Event) {
    let Message { delivery, parsed } = Message::new(delivery);
    let event = match parsed {
        Parsed::Order(order) => Event::Order(order.event_id, order.customer_id),
        Parsed::Ignored => Event::Ignored,
        Parsed::Malformed(reason) => Event::Malformed(reason),
    };
    (delivery, event)
}

/// Returns the copies of a message that the consumer may publish because of `reason`: to the retry
/// queue, to the dead-letter queue, and back into the queue that it came from. Their headers have
/// at most `room` bytes, unless the consumer's own need more.
#[must_use]
pub fn copies(delivery: &Delivery, reason: &str, room: usize) -> [Copied; 3] {
    const MAX_RETRIES: u32 = 20;
    let args = SubscriptionArgs {
        consumer_declare: true,
        consumer_prefetch: 1,
        rabbitmq_max_retries: MAX_RETRIES,
        rabbitmq_retry_ttl_ms: 10_000,
    };
    let now = OffsetDateTime::now_utc();
    let redirected = |failure| {
        let one = Redirect::new(delivery, reason.to_owned(), failure, MAX_RETRIES);
        redirect::message(&one, now, &args, room)
    };
    // Called for what they would do over the headers; the copy has neither.
    shortened_ttl(delivery, args.rabbitmq_retry_ttl_ms, now);
    trace_id(delivery);
    let same = message_copy::properties(delivery);
    let same = same.with_headers(headers::for_same_route(delivery, room));
    [
        redirected(FailureKind::Retryable),
        redirected(FailureKind::Permanent),
        message_copy::message(delivery, &same, "customer.orders_count"),
    ]
}

//! Deliveries of a channel, assembled from frames, until they are taken.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::delivery::{Delivery, DeliveryInfo};
use super::properties;

/// Bytes of untaken messages beyond which nothing further is read: the prefetch counts messages
/// only.
const ROOM: usize = 16 << 20;

/// The longest message that any broker accepts (<https://www.rabbitmq.com/docs/configure>,
/// `max_message_size`).
const LONGEST: u64 = 512 << 20;

/// Bytes reserved for a body before any of it has arrived.
const RESERVED: usize = 1 << 20;

/// How the buffer grows: to this multiple of what has arrived, at most to the size of the body. A
/// large body is moved twice at most and is never in memory twice as a whole; one that is announced
/// and not sent takes no more than [`RESERVED`].
const GROWTH: usize = 16;

/// A message that has not arrived completely.
#[derive(Debug)]
struct Partial {
    info: DeliveryInfo,
    content_header: Option<Vec<u8>>,
    size: usize,
    body: BytesMut,
}

/// The messages of a channel, from their first byte until they are taken.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    partial: Option<Partial>,
    ready: VecDeque<Delivery>,
    weight: usize,
    /// The broker cancelled the consumer.
    pub(super) is_cancelled: bool,
    /// Messages are dropped as they arrive.
    is_discarded: bool,
}

impl Deliveries {
    /// Begins a message.
    pub(super) fn begin(&mut self, info: DeliveryInfo) {
        self.partial = Some(Partial { info, content_header: None, size: 0, body: BytesMut::new() });
    }

    /// The properties of the message that has begun. Says whether it is there as a whole.
    ///
    /// # Errors
    /// When no message has begun, or it is longer than any may be.
    pub(super) fn push_properties(&mut self, content_header: &[u8]) -> Result<bool, String> {
        let partial = self.partial.as_mut().filter(|it| it.content_header.is_none());
        let partial = partial.ok_or("the broker sent properties of no message")?;
        let size = properties::body_size(content_header).filter(|size| *size <= LONGEST);
        let size = size.and_then(|size| usize::try_from(size).ok());
        partial.size = size.ok_or("the broker sent a message longer than any")?;
        // Copied, like the body: a slice would keep all that was read at once in memory.
        partial.content_header = Some(content_header.to_vec());
        partial.body.reserve(partial.size.min(RESERVED));
        Ok(self.finish())
    }

    /// A part of its body. Says whether it is there as a whole.
    ///
    /// # Errors
    /// When no message has begun, or this exceeds the announced size.
    pub(super) fn push_body(&mut self, part: &[u8]) -> Result<bool, String> {
        let partial = self.partial.as_mut().filter(|it| it.content_header.is_some());
        let partial = partial.ok_or("the broker sent a body of no message")?;
        if partial.body.len() + part.len() > partial.size {
            return Err("the broker sent more of a message than it had said".to_owned());
        }
        let wanted = partial.body.len() + part.len();
        if wanted > partial.body.capacity() {
            let room = wanted.saturating_mul(GROWTH).min(partial.size);
            partial.body.reserve(room - partial.body.len());
        }
        partial.body.extend_from_slice(part);
        Ok(self.finish())
    }

    fn finish(&mut self) -> bool {
        let whole = |it: &mut Partial| it.content_header.is_some() && it.body.len() == it.size;
        let Some(partial) = self.partial.take_if(whole) else {
            return false;
        };
        let content_header = partial.content_header.unwrap_or_default();
        let delivery = Delivery::new(partial.info, content_header, Bytes::from(partial.body));
        if !self.is_discarded {
            self.weight += delivery.weight();
            self.ready.push_back(delivery);
        }
        true
    }

    /// Returns true if a message can be taken.
    pub(super) fn are_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns true if there is a message, complete or in part.
    pub(super) fn is_receiving(&self) -> bool {
        self.partial.is_some() || self.are_ready()
    }

    /// Returns true if there is room for more.
    pub(super) const fn have_room(&self) -> bool {
        self.weight < ROOM
    }

    /// Takes the first messages: at most `most`, and none beyond the one that reaches `bytes`.
    pub(super) fn take(&mut self, most: usize, bytes: usize) -> Vec<Delivery> {
        let (mut taken, mut weight) = (Vec::new(), 0);
        while taken.len() < most && weight < bytes {
            let Some(delivery) = self.ready.pop_front() else {
                break;
            };
            weight += delivery.weight();
            taken.push(delivery);
        }
        self.weight -= weight;
        taken
    }

    /// Drops all messages, now and later: the broker requeues them.
    pub(super) fn discard(&mut self) {
        self.is_discarded = true;
        self.ready.clear();
        self.weight = 0;
    }
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::basic::AMQPProperties;

    use super::*;
    use crate::content_header;

    fn info(tag: u64) -> DeliveryInfo {
        let routing_key = "order.created".to_owned();
        DeliveryInfo { tag, redelivered: false, exchange: "orders.events".to_owned(), routing_key }
    }

    fn header(size: usize) -> Vec<u8> {
        let properties = AMQPProperties::default()
            .with_content_type("application/json".into())
            .with_message_id("0190".into())
            .with_type("order.created".into());
        content_header(size, &properties)
    }

    fn arrive(deliveries: &mut Deliveries, tag: u64, size: usize) {
        deliveries.begin(info(tag));
        let mut ready = deliveries.push_properties(&header(size)).expect("properties");
        for part in vec![b'x'; size].chunks(1000) {
            assert!(!ready, "before all of it is there");
            ready = deliveries.push_body(part).expect("a part");
        }
        assert!(ready);
    }

    #[test]
    fn a_message_is_there_once_all_of_its_body_is() {
        let mut deliveries = Deliveries::default();
        for (tag, size) in [(1, 0), (2, 1), (3, 1000), (4, 2500)] {
            assert!(!deliveries.are_ready());
            arrive(&mut deliveries, tag, size);
            let taken = deliveries.take(10, usize::MAX);
            assert_eq!(taken.len(), 1);
            let delivery = &taken[0];
            assert_eq!((delivery.info.tag, delivery.body.len()), (tag, size));
            assert_eq!(delivery.content_type(), Some("application/json"));
            assert_eq!(delivery.message_id(), Some("0190"));
            assert_eq!(delivery.kind(), Some("order.created"));
            let id = delivery.properties().message_id().as_ref();
            assert_eq!(id.map(amq_protocol::types::ShortString::as_str), Some("0190"));
        }
    }

    #[test]
    fn messages_are_taken_in_their_order_by_number_and_by_bytes() {
        let mut deliveries = Deliveries::default();
        (1..=10).for_each(|tag| arrive(&mut deliveries, tag, 5000));
        let mut take = |most, bytes| {
            let taken = deliveries.take(most, bytes);
            taken.iter().map(|delivery| delivery.info.tag).collect::<Vec<_>>()
        };
        assert_eq!(take(3, usize::MAX), [1, 2, 3]);
        assert_eq!(take(10, 9000), [4, 5]);
        assert_eq!(take(10, 1), [6], "one at least");
        assert_eq!(take(10, usize::MAX), [7, 8, 9, 10]);
        assert_eq!(deliveries.weight, 0);
    }

    #[test]
    fn there_is_room_until_some_megabytes_wait() {
        let mut deliveries = Deliveries::default();
        for tag in 1.. {
            let before = deliveries.weight;
            assert_eq!(deliveries.have_room(), before < ROOM);
            if before >= ROOM {
                break;
            }
            arrive(&mut deliveries, tag, 1 << 20);
        }
        assert!(deliveries.take(1, 1).len() == 1 && deliveries.have_room());
        deliveries.discard();
        assert!(!deliveries.are_ready() && deliveries.have_room());
        arrive(&mut deliveries, 99, 10);
        assert!(!deliveries.are_ready(), "nobody takes them any more");
    }

    #[test]
    fn the_names_of_exchange_and_key_take_room_too() {
        let mut deliveries = Deliveries::default();
        let name = "\u{fffd}".repeat(255);
        let info = DeliveryInfo { exchange: name.clone(), routing_key: name, ..info(1) };
        deliveries.begin(info);
        assert_eq!(deliveries.push_properties(&header(0)), Ok(true));
        assert!(deliveries.weight > 2 * 3 * 255);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let mut deliveries = Deliveries::default();
        deliveries.push_properties(&header(1)).expect_err("nothing has begun");
        deliveries.push_body(b"x").expect_err("nothing has begun");
        deliveries.begin(info(1));
        deliveries.push_body(b"x").expect_err("no properties yet");
        deliveries.push_properties(b"short").expect_err("no length");
        deliveries.begin(info(1));
        assert_eq!(deliveries.push_properties(&header(3)), Ok(false));
        deliveries.push_properties(&header(3)).expect_err("it has some");
        deliveries.push_body(b"four").expect_err("longer than it said");
        deliveries.begin(info(1));
        let endless = [&[0, 60, 0, 0][..], &u64::MAX.to_be_bytes(), &[0, 0]].concat();
        deliveries.push_properties(&endless).expect_err("longer than any");
    }
}

//! The messages that are on their way to whoever consumes.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::delivery::{Delivery, Envelope};
use super::properties;

/// Bytes of messages that wait to be taken, beyond which nothing further is read: the prefetch counts messages only.
const ROOM: usize = 16 << 20;

/// No broker takes longer messages (<https://www.rabbitmq.com/docs/configure>, `max_message_size`).
const LONGEST: u64 = 512 << 20;

/// Bytes of a body that there is room for before any has come.
const RESERVED: usize = 1 << 20;

/// When that is used up there is room made for so many times as much as has come, or for the whole body if it is shorter. A large body moves
/// to larger room twice and never lies in memory twice as a whole; who announces one and sends none of it takes no more than [`RESERVED`].
const GROWTH: usize = 16;

/// A message of which not all has come yet.
#[derive(Debug)]
struct Arriving {
    envelope: Envelope,
    content_header: Option<Vec<u8>>,
    size: usize,
    body: BytesMut,
}

/// The messages of a channel, from the first byte of each until somebody takes it.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    arriving: Option<Arriving>,
    arrived: VecDeque<Delivery>,
    weight: usize,
    /// The broker delivers no more.
    pub(super) is_cancelled: bool,
    /// Nobody takes them any more.
    is_over: bool,
}

impl Deliveries {
    /// A message begins.
    pub(super) fn begin(&mut self, envelope: Envelope) {
        self.arriving =
            Some(Arriving { envelope, content_header: None, size: 0, body: BytesMut::new() });
    }

    /// The properties of the message that has begun. Says whether it is there as a whole.
    ///
    /// # Errors
    /// When none has begun, or it is longer than any message.
    pub(super) fn properties(&mut self, content_header: &[u8]) -> Result<bool, String> {
        let arriving = self.arriving.as_mut().filter(|it| it.content_header.is_none());
        let arriving = arriving.ok_or("the broker sent properties of no message")?;
        let size = properties::body_size(content_header).filter(|size| *size <= LONGEST);
        let size = size.and_then(|size| usize::try_from(size).ok());
        arriving.size = size.ok_or("the broker sent a message longer than any")?;
        // Copied, like the body: what is read at once is much more than one message, and would be kept as a whole.
        arriving.content_header = Some(content_header.to_vec());
        arriving.body.reserve(arriving.size.min(RESERVED));
        Ok(self.complete())
    }

    /// A part of its body. Says whether it is there as a whole.
    ///
    /// # Errors
    /// When nothing has begun, or this is more than was to come.
    pub(super) fn body(&mut self, part: &[u8]) -> Result<bool, String> {
        let arriving = self.arriving.as_mut().filter(|it| it.content_header.is_some());
        let arriving = arriving.ok_or("the broker sent a body of no message")?;
        if arriving.body.len() + part.len() > arriving.size {
            return Err("the broker sent more of a message than it had said".to_owned());
        }
        let wanted = arriving.body.len() + part.len();
        if wanted > arriving.body.capacity() {
            let room = wanted.saturating_mul(GROWTH).min(arriving.size);
            arriving.body.reserve(room - arriving.body.len());
        }
        arriving.body.extend_from_slice(part);
        Ok(self.complete())
    }

    fn complete(&mut self) -> bool {
        let whole = |it: &mut Arriving| it.content_header.is_some() && it.body.len() == it.size;
        let Some(arriving) = self.arriving.take_if(whole) else {
            return false;
        };
        let content_header = arriving.content_header.unwrap_or_default();
        let delivery = Delivery::new(arriving.envelope, content_header, Bytes::from(arriving.body));
        if !self.is_over {
            self.weight += delivery.weight();
            self.arrived.push_back(delivery);
        }
        true
    }

    /// Whether any can be taken.
    pub(super) fn are_there(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// Whether there is any, as a whole or in part.
    pub(super) fn is_any(&self) -> bool {
        self.arriving.is_some() || self.are_there()
    }

    /// Whether there is room for more.
    pub(super) const fn have_room(&self) -> bool {
        self.weight < ROOM
    }

    /// Takes the first ones: as many as `most`, and no further one once they have so many `bytes`.
    pub(super) fn take(&mut self, most: usize, bytes: usize) -> Vec<Delivery> {
        let (mut taken, mut weight) = (Vec::new(), 0);
        while taken.len() < most && weight < bytes {
            let Some(delivery) = self.arrived.pop_front() else {
                break;
            };
            weight += delivery.weight();
            taken.push(delivery);
        }
        self.weight -= weight;
        taken
    }

    /// Nobody takes them any more: they return to their queue.
    pub(super) fn give_up(&mut self) {
        self.is_over = true;
        self.arrived.clear();
        self.weight = 0;
    }
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::basic::AMQPProperties;

    use super::*;
    use crate::content_header;

    fn envelope(tag: u64) -> Envelope {
        let routing_key = "order.created".to_owned();
        Envelope { tag, redelivered: false, exchange: "orders.events".to_owned(), routing_key }
    }

    fn header(size: usize) -> Vec<u8> {
        let properties = AMQPProperties::default()
            .with_content_type("application/json".into())
            .with_message_id("0190".into())
            .with_type("order.created".into());
        content_header(size, &properties)
    }

    fn arrive(deliveries: &mut Deliveries, tag: u64, size: usize) {
        deliveries.begin(envelope(tag));
        let mut arrived = deliveries.properties(&header(size)).expect("properties");
        for part in vec![b'x'; size].chunks(1000) {
            assert!(!arrived, "before all of it is there");
            arrived = deliveries.body(part).expect("a part");
        }
        assert!(arrived);
    }

    #[test]
    fn a_message_is_there_once_all_of_its_body_is() {
        let mut deliveries = Deliveries::default();
        for (tag, size) in [(1, 0), (2, 1), (3, 1000), (4, 2500)] {
            assert!(!deliveries.are_there());
            arrive(&mut deliveries, tag, size);
            let taken = deliveries.take(10, usize::MAX);
            assert_eq!(taken.len(), 1);
            let delivery = &taken[0];
            assert_eq!((delivery.envelope.tag, delivery.body.len()), (tag, size));
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
            taken.iter().map(|delivery| delivery.envelope.tag).collect::<Vec<_>>()
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
        deliveries.give_up();
        assert!(!deliveries.are_there() && deliveries.have_room());
        arrive(&mut deliveries, 99, 10);
        assert!(!deliveries.are_there(), "nobody takes them any more");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let mut deliveries = Deliveries::default();
        deliveries.properties(&header(1)).expect_err("nothing has begun");
        deliveries.body(b"x").expect_err("nothing has begun");
        deliveries.begin(envelope(1));
        deliveries.body(b"x").expect_err("no properties yet");
        deliveries.properties(b"short").expect_err("no length");
        deliveries.begin(envelope(1));
        assert_eq!(deliveries.properties(&header(3)), Ok(false));
        deliveries.properties(&header(3)).expect_err("it has some");
        deliveries.body(b"four").expect_err("longer than it said");
        deliveries.begin(envelope(1));
        let endless = [&[0, 60, 0, 0][..], &u64::MAX.to_be_bytes(), &[0, 0]].concat();
        deliveries.properties(&endless).expect_err("longer than any");
    }
}

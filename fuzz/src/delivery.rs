//! A message of any bytes: two that say how long its content header is, that header, and the body.

use amqp::{Delivery, DeliveryInfo};

/// Takes `data` apart into content header and body.
pub(crate) fn parts(data: &[u8]) -> (&[u8], &[u8]) {
    let Some((size, rest)) = data.split_first_chunk::<2>() else {
        return (&[], &[]);
    };
    rest.split_at(usize::from(u16::from_be_bytes(*size)).min(rest.len()))
}

/// A message with this content header and body, as the broker would deliver it.
pub(crate) fn delivery(content_header: &[u8], body: &[u8]) -> Delivery {
    let info = DeliveryInfo {
        tag: 1,
        redelivered: false,
        exchange: "orders.events".to_owned(),
        routing_key: "order.created".to_owned(),
    };
    Delivery::new(info, content_header.to_vec(), bytes::Bytes::copy_from_slice(body))
}

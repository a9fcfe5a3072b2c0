//! What the fuzzer calls: `fuzz/` in the repository.

use std::time::Duration;

use amqp::{Delivery, Message};

use super::message::{DeadLetter, Reading};
use super::returned::ReturningRow;
use crate::config::CollectorArgs;

const QUEUE: &str = "billing.dlq";

/// A message as a row.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The identity by which a redelivered message is recognised.
    pub identity: [u8; 32],
    /// The columns of type text.
    pub texts: Vec<String>,
    /// The columns of type jsonb.
    pub documents: [String; 2],
    /// The event's type.
    pub event_type: String,
}

/// Makes a row of a message; `in_ascii`: as for a database in another encoding than UTF-8.
#[must_use]
pub fn letter(delivery: Delivery, in_ascii: bool) -> Letter {
    let mut row = reading().read(delivery);
    if in_ascii {
        row.reduce_to_ascii();
    }
    let DeadLetter { identity, event_type, properties, headers, .. } = row;
    let some = [
        row.return_to,
        row.message_id,
        row.content_type,
        row.reason,
        row.first_failed_at,
        row.last_failed_at,
    ];
    let mut texts: Vec<String> = some.into_iter().flatten().collect();
    texts.extend([row.exchange, row.routing_key, row.fingerprint, event_type.clone()]);
    Letter { identity, texts, documents: [properties, headers], event_type }
}

/// Makes the message that goes back, for a connection with frames of `frame_max` bytes.
///
/// # Errors
/// Why no message can be made of the row.
pub fn returned(
    content_header: Vec<u8>,
    body: Vec<u8>,
    frame_max: usize,
) -> Result<Message, String> {
    let (queue, return_to) = (QUEUE.to_owned(), "billing".to_owned());
    ReturningRow { id: 7, queue, return_to, content_header, body }.into_message(frame_max)
}

fn reading() -> Reading {
    let args = CollectorArgs {
        queue: QUEUE.to_owned(),
        return_to: None,
        reason_header: None,
        tries_header: None,
        prefetch: 2,
        statement_timeout: Duration::from_secs(1),
    };
    Reading::new(&args, "/")
}

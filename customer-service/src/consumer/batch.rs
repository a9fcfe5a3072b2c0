//! A batch of messages: collected as they arrive, then counted, acknowledged, and redirected where
//! counting failed.

use amqp::Delivery;

use super::acknowledge::{AcknowledgeError, Acknowledger};
use super::counter::Counter;
use super::message::{Message, Parsed};
use super::metrics;
use super::outcomes::Outcomes;
use super::redirect::Redirect;
use super::spans::BatchSpans;

/// The size at which a batch takes no more messages.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Why a batch was not finished. Its messages return to the queue.
#[derive(Debug)]
pub(super) enum Interruption {
    /// The database can't be used.
    Database(String),
    /// The broker, or the connection to it, can't be used.
    Broker(String),
    /// A queue or an exchange is missing: the topology must be declared again.
    MissingTopology(String),
}

impl From<AcknowledgeError> for Interruption {
    fn from(error: AcknowledgeError) -> Self {
        match error {
            AcknowledgeError::Broker(reason) => Self::Broker(reason),
            AcknowledgeError::MissingTopology(reason) => Self::MissingTopology(reason),
        }
    }
}

/// Messages in the order in which they were delivered.
pub(super) struct Batch {
    messages: Vec<Message>,
    bytes: usize,
    max_messages: usize,
}

impl Batch {
    /// An empty batch with room for `max_messages` messages.
    pub(super) const fn new(max_messages: usize) -> Self {
        Self { messages: Vec::new(), bytes: 0, max_messages }
    }

    /// Takes the messages and leaves an empty batch of the same limit.
    pub(super) const fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.max_messages))
    }

    /// Parses and adds a message.
    pub(super) fn push(&mut self, delivery: Delivery) {
        self.bytes += delivery.weight();
        self.messages.push(Message::new(delivery));
    }

    pub(super) const fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// How many messages and bytes still fit.
    pub(super) const fn room(&self) -> (usize, usize) {
        (
            self.max_messages.saturating_sub(self.messages.len()),
            MAX_BYTES.saturating_sub(self.bytes),
        )
    }

    pub(super) const fn is_full(&self) -> bool {
        self.messages.len() >= self.max_messages || self.bytes >= MAX_BYTES
    }

    /// Counts the messages, then acknowledges or redirects each.
    ///
    /// # Errors
    /// Returns why the batch was not finished. Whether the messages that are not acknowledged were
    /// counted is unknown; their redelivery finds out.
    pub(super) async fn finish(
        &self,
        counter: &mut Counter,
        acknowledger: &mut Acknowledger,
        max_retries: u32,
    ) -> Result<(), Interruption> {
        let spans = BatchSpans::start(&self.messages);
        let finished = self.process(counter, acknowledger, max_retries, &spans).await;
        if finished.is_err() {
            spans.record_interruption();
        }
        finished
    }

    async fn process(
        &self,
        counter: &mut Counter,
        acknowledger: &mut Acknowledger,
        max_retries: u32,
        spans: &BatchSpans,
    ) -> Result<(), Interruption> {
        let orders = self.messages.iter().filter_map(|message| match &message.parsed {
            Parsed::Order(order) => Some(*order),
            _ => None,
        });
        let transaction_spans = spans.start_transaction(&self.messages);
        let counted = counter.count(orders).await.map_err(Interruption::Database)?;
        drop(transaction_spans);

        let mut outcomes = Outcomes::new(counted);
        let (mut redirects, mut done) = (Vec::new(), Vec::new());
        for (index, Message { delivery, parsed }) in self.messages.iter().enumerate() {
            if let Some((reason, failure)) = outcomes.record(parsed) {
                spans.record_redirect(index, &reason);
                redirects.push(Redirect::new(delivery, reason, failure, max_retries));
            } else {
                done.push(delivery.info.tag);
            }
        }
        outcomes.report();
        metrics::batch(self.messages.iter().filter(|one| one.delivery.info.redelivered).count());
        // Before the redirects, which may take long or fail: counted messages are not delivered
        // again because of them. With redirects, one by one: `multiple` would also acknowledge
        // originals that are not redirected yet.
        if redirects.is_empty() {
            acknowledger.acknowledge_batch(&done).await?;
        } else {
            acknowledger.acknowledge(&done).await?;
        }
        let redirected = acknowledger.redirect(&mut redirects).await;
        redirects.iter().for_each(Redirect::report);
        redirected?;
        acknowledger.return_held().await?;
        Ok(())
    }
}

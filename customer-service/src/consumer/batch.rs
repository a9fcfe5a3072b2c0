//! One batch of messages: collected as they arrive, then applied, moved where that can't be, acknowledged.

use service_kit::amqp::Delivery;

use super::acknowledge::{AcknowledgeError, Acknowledger};
use super::counter::Counter;
use super::message::{Message, Parsed};
use super::metrics;
use super::outcomes::Outcomes;
use super::redirect::Redirect;
use super::spans::BatchSpans;

/// A batch that holds so many bytes takes no more messages.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Why a batch was not finished: its messages are to be returned to the queue.
#[derive(Debug)]
pub(super) enum Interruption {
    /// The database can't be used.
    Database(String),
    /// The broker, or the way to it, can't be used.
    Broker(String),
    /// A queue or an exchange is missing: everything is to be declared anew.
    MissingTopology(String),
}

impl From<AcknowledgeError> for Interruption {
    fn from(trouble: AcknowledgeError) -> Self {
        match trouble {
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
    /// An empty one with room for `most` messages.
    pub(super) const fn new(max_messages: usize) -> Self {
        Self { messages: Vec::new(), bytes: 0, max_messages }
    }

    /// Takes the messages out; room is left for as many again.
    pub(super) const fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.max_messages))
    }

    /// Reads a message and adds it.
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

    /// How many messages, and how many bytes of them, it still takes.
    pub(super) const fn room(&self) -> (usize, usize) {
        (
            self.max_messages.saturating_sub(self.messages.len()),
            MAX_BYTES.saturating_sub(self.bytes),
        )
    }

    pub(super) const fn is_full(&self) -> bool {
        self.messages.len() >= self.max_messages || self.bytes >= MAX_BYTES
    }

    /// Does all that is to be done with the messages.
    ///
    /// # Errors
    /// When it was not finished. What is not acknowledged then had no effect, or none that is certain.
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
            if let Some((reason, kind)) = outcomes.record(parsed) {
                spans.record_redirect(index, &reason);
                redirects.push(Redirect::new(delivery, reason, kind, max_retries));
            } else {
                done.push(delivery.envelope.tag);
            }
        }
        outcomes.report();
        metrics::batch(
            self.messages.iter().filter(|one| one.delivery.envelope.redelivered).count(),
        );
        // First, as moving may take long or fail: what was counted is not delivered again over it.
        acknowledger.acknowledge(&done, redirects.is_empty()).await?;
        let redirected = acknowledger.redirect(&mut redirects).await;
        redirects.iter().for_each(Redirect::report);
        redirected?;
        acknowledger.return_held().await?;
        Ok(())
    }
}

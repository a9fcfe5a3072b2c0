//! Stores arrived messages in batches, halving a batch that the database refuses.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{CollectorSession, Interruption, PartOutcome, REQUEUE_TIME};
use crate::dead_letters::message::DeadLetter;
use crate::dead_letters::store::StoreError;

impl CollectorSession<'_> {
    /// Stores what has arrived. A batch that the database refuses is halved, until what it refuses is
    /// alone. Ends early when the session is to stop, or too many messages are held.
    pub(super) async fn store_pending(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<(), Interruption> {
        let begun = Instant::now();
        let has_begun = !self.pending.is_empty();
        while !stop.is_cancelled() && !self.held.is_full() {
            let Some(mut part) = self.pending.pop() else {
                break;
            };
            match self.store_part(&part).await? {
                PartOutcome::Stored => (),
                PartOutcome::Refused(_) if part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    self.pending.extend([second, part]);
                }
                PartOutcome::Refused(reason) => {
                    if let Some(message) = part.pop() {
                        self.store_alone(message, reason).await?;
                    }
                }
            }
        }
        if has_begun {
            self.metrics.stored_batch(begun.elapsed());
        }
        Ok(())
    }

    /// Stores messages in one transaction, and acknowledges them.
    pub(super) async fn store_part(
        &mut self,
        part: &[DeadLetter],
    ) -> Result<PartOutcome, Interruption> {
        let forgets = self.may_forget(part);
        // A commit may end without an answer: the next session must then recognise its rows.
        self.is_acknowledged = false;
        let stored = match self.store.store(part, forgets).await {
            Ok(stored) => stored,
            Err(StoreError::Refused(reason)) => {
                self.is_acknowledged = true;
                return Ok(PartOutcome::Refused(reason));
            }
            Err(StoreError::Unavailable(reason)) => {
                self.unstored = part.to_vec();
                return Err(Interruption::Database(reason));
            }
        };
        self.has_forgotten |= forgets;
        self.collected.stored += stored.new;
        self.collected.known += stored.known;
        self.metrics.collected(stored.new, stored.known);
        self.acknowledge(part).await?;
        Ok(PartOutcome::Stored)
    }

    /// Notes that the messages will be acknowledged, and acknowledges them. After the note a message
    /// that is delivered again gets another row, even if it is one of these.
    async fn acknowledge(&mut self, part: &[DeadLetter]) -> Result<(), Interruption> {
        let Some(last) = part.iter().map(|message| message.tag).max() else {
            return Ok(());
        };
        self.released = self.released.max(last);
        self.store.release(self.released).await?;
        let acknowledged = if self.held.is_empty() {
            self.subscription.acknowledge_up_to(last).await
        } else {
            let tags: Vec<_> = part.iter().map(|message| message.tag).collect();
            self.subscription.acknowledge(&tags).await
        };
        acknowledged.map_err(Interruption::Broker)?;
        self.is_acknowledged = true;
        Ok(())
    }

    /// Whether earlier sessions can be forgotten with `part`: what they had not acknowledged is
    /// back at the head of the queue some moments after they ended, and a new message comes behind
    /// it.
    fn may_forget(&self, part: &[DeadLetter]) -> bool {
        let is_behind = self.left == 0 || part.iter().any(|message| !message.redelivered);
        !self.has_forgotten && self.begun.elapsed() >= REQUEUE_TIME && is_behind
    }
}

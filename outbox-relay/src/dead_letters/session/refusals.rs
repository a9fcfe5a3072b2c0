//! What a session does with messages that the database refuses.

use service_kit::health::Health;

use super::{CollectorSession, Interruption};
use crate::dead_letters::message::DeadLetter;
use crate::dead_letters::metrics;
use crate::dead_letters::store::StoreError;

/// The note at `/readyz` that the database refuses messages.
const REFUSED: &str = "refused";

impl CollectorSession<'_> {
    /// Stores a message that was refused, with ASCII alone for people, or else holds it.
    pub(super) async fn store_alone(
        &mut self,
        mut message: DeadLetter,
        reason: String,
    ) -> Result<(), Interruption> {
        message.reduce_to_ascii();
        match self.store_part(std::slice::from_ref(&message)).await {
            Ok(()) => Ok(()),
            Err(StoreError::Unavailable(reason)) => {
                self.unstored = Some(message);
                Err(Interruption::Database(reason))
            }
            Err(StoreError::Refused(_)) => {
                let name = message.name();
                tracing::warn!(
                    message = name,
                    reason,
                    "the database refuses a message: it stays in the queue"
                );
                self.collected.refused.push(format!("{name}: {reason}"));
                self.held.push(message);
                Ok(())
            }
        }
    }

    /// Tries the message again that the database refused longest ago, if it is time to.
    pub(super) async fn retry_held(&mut self) -> Result<(), Interruption> {
        if !self.held.is_due() {
            return Ok(());
        }
        // What was stored meanwhile is acknowledged while all others are still held.
        self.release().await?;
        let Some(message) = self.held.pop() else {
            return Ok(());
        };
        // Released with the row: it is acknowledged at once.
        let release = self.released.max(message.tag);
        match self.store.store(std::slice::from_ref(&message), release, false).await {
            Ok(stored) => {
                self.released = release;
                self.collected.stored += stored.new;
                metrics::collected(stored.new, stored.known);
                tracing::info!(message = message.name(), "the database takes the message now");
                self.subscription.acknowledge(&[message.tag]).await.map_err(Interruption::Broker)
            }
            Err(StoreError::Refused(_)) => {
                self.held.push(message);
                Ok(())
            }
            Err(StoreError::Unavailable(reason)) => {
                self.unstored = Some(message);
                Err(Interruption::Database(reason))
            }
        }
    }

    /// Shows at `/readyz` and in the metrics how many are refused.
    pub(super) fn note_refused(&self, health: &Health) {
        metrics::refused(self.held.len());
        match self.held.len() {
            0 => health.forget_note(REFUSED),
            held if self.held.is_full() => health.note(
                REFUSED,
                format!(
                    "the database refuses {held} messages: nothing is collected until it takes some"
                ),
            ),
            held => health.note(REFUSED, format!("the database refuses {held} messages")),
        }
    }
}

//! What a session does with messages that the database refuses.

use service_kit::health::Health;

use super::{CollectorSession, Interruption, PartOutcome};
use crate::dead_letters::message::DeadLetter;

/// The note at `/readyz` that the database refuses messages.
const REFUSED: &str = "refused";

impl CollectorSession<'_> {
    /// Stores a refused message: with the columns for people reduced to ASCII, or else without
    /// them. Holds it if the database refuses both.
    pub(super) async fn store_alone(
        &mut self,
        mut message: DeadLetter,
        reason: String,
    ) -> Result<(), Interruption> {
        for reduce in [DeadLetter::reduce_to_ascii, DeadLetter::reduce_to_contents] {
            reduce(&mut message);
            if let PartOutcome::Stored = self.store_part(std::slice::from_ref(&message)).await? {
                let name = message.name();
                tracing::warn!(
                    message = name,
                    reason,
                    "the database refuses what was read from a message: the row has less for people"
                );
                return Ok(());
            }
        }
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

    /// Tries the message again that the database refused longest ago, if it is time to.
    pub(super) async fn retry_held(&mut self) -> Result<(), Interruption> {
        let Some(message) = self.held.pop_due() else {
            return Ok(());
        };
        match self.store_part(std::slice::from_ref(&message)).await? {
            PartOutcome::Stored => {
                tracing::info!(message = message.name(), "the database takes the message now");
            }
            PartOutcome::Refused(_) => self.held.push(message),
        }
        Ok(())
    }

    /// Shows at `/readyz` and in the metrics how many are refused.
    pub(super) fn note_refused(&self, health: &Health) {
        self.metrics.refused(self.held.len());
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
